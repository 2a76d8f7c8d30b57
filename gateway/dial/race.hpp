#pragma once
#include <cstddef>
#include <optional>
#include <vector>

#include "base/clock.hpp"

namespace usher::gateway::dial {

/// When to begin a connection to which of several addresses (RFC 8305 §5, "happy eyeballs"). Sans-io: the owner tells
/// what happened and the time, and is told what to do; it opens and closes the sockets. The addresses are numbers, in
/// the order in which they are to be tried.
///
/// The next address is begun `delay` after the one before, or as soon as an attempt fails. At most `attempts_max` are
/// under way; when one more is due, the one that has been silent for longest is given up for it, so that a name of
/// sixteen black holes holds four descriptors and not sixteen.
class Race {
public:
    static constexpr base::Microseconds delay{250'000};
    static constexpr std::size_t attempts_max = 4;

    /// `limit` is for all addresses together, from `now` on.
    Race(std::size_t addresses, base::MonoTime now, base::Microseconds limit)
        : addresses_(addresses), deadline_(now + limit), next_begin_(now) {}

    struct Step {
        enum class Kind {
            begin,    ///< connect to `address`; close `give_up` before, if there is one; then ask for the next step
            wait,     ///< until an attempt ends, or until `wake`
            timeout,  ///< the time is over while attempts are silent
            lost,     ///< every address has failed
        } kind;
        std::size_t address = 0;
        std::optional<std::size_t> give_up{};
        base::MonoTime wake{};
    };
    Step next(base::MonoTime now);

    /// The attempt at `address` has ended without a connection.
    void failed(std::size_t address, base::MonoTime now);

private:
    std::size_t addresses_;
    base::MonoTime deadline_;
    base::MonoTime next_begin_;
    std::size_t begun_ = 0;
    std::vector<std::size_t> under_way_;  ///< the oldest first
};

}  // namespace usher::gateway::dial
