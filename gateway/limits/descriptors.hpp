#pragma once
#include <cstddef>
#include <string>

namespace usher::gateway::limits {

/// How the process's descriptors are shared out. The kernel gives the lowest number that is free, so the number of a
/// new one tells how many are in use, without counting.
struct Descriptors {
    int limit;         ///< RLIMIT_NOFILE
    int accept_below;  ///< clients' connections stay below this number
    int dial_below;    ///< connections to apps below this: who is signed in gets an app though strangers have the rest
    // What is above both is for the journal's next segment, the database, control.sock, metrics and name servers.

    /// Pure. A quarter, at most 64, is kept for the gateway itself; an eighth of the rest for connections to apps.
    static Descriptors of(int limit) noexcept;
    /// Of this process. Without an answer of the kernel nothing is bounded.
    static Descriptors of_process() noexcept;

    /// Empty when `connections`, each with a connection to an app, fit; else what is wrong and what to do.
    std::string shortage(std::size_t connections) const;
};

/// Whether a descriptor below `bound` is free now. One descriptor is made and closed.
bool descriptor_is_free_below(int bound) noexcept;

}  // namespace usher::gateway::limits
