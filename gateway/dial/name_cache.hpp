#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/net.hpp"

namespace usher::gateway::dial {

/// What name servers have said, for as long as it holds. Sans-io. Bounded: past its bound a new answer takes the place
/// of any other, which costs that one a query. Names that do not exist have a room of their own, so that a flood of
/// invented names drives out no answer.
class NameCache {
public:
    struct Limits {
        std::size_t names = 4096;
        std::size_t absent_names = 1024;
        base::Microseconds ttl_max = std::chrono::seconds(60);    ///< however long an answer says it lives
        base::Microseconds absent_ttl = std::chrono::seconds(5);  ///< of "no such name"; short: names are made anew
    };
    explicit NameCache(Limits limits) : limits_(limits) {}

    /// The addresses of `name`; an empty list when it has none; nullopt when that is not known.
    std::optional<std::vector<base::IpAddress>> find(const std::string& name, base::MonoTime now);
    /// An answer that is good for `ttl`; nothing is kept of one that lives for no time.
    void remember(const std::string& name, std::vector<base::IpAddress> addresses, base::Microseconds ttl,
                  base::MonoTime now);
    void remember_absent(const std::string& name, base::MonoTime now);

    /// Names that are held, those that do not exist included.
    std::size_t size() const noexcept { return names_.size() + absent_.size(); }

private:
    struct Entry {
        std::vector<base::IpAddress> addresses;
        base::MonoTime expires;
    };
    using Entries = std::unordered_map<std::string, Entry>;
    static void put(Entries& entries, std::size_t limit, const std::string& name, Entry entry, base::MonoTime now);

    Limits limits_;
    Entries names_;
    Entries absent_;
};

}  // namespace usher::gateway::dial
