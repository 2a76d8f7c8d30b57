#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/net.hpp"
#include "base/result.hpp"
#include "gateway/dial/name_cache.hpp"

namespace usher::gateway::dial {

struct ResolverOptions {
    std::vector<std::string> servers{};  ///< "192.0.2.53:53", "[2001:db8::53]:53"; empty: those of /etc/resolv.conf
    base::Microseconds attempt_timeout = std::chrono::seconds(1);  ///< until a server that is silent is asked again
    int attempts = 2;                                              ///< of each server
    std::size_t queries = 4096;  ///< names that are asked for at once; more than one account has tunnels
    NameCache::Limits cache{};
    /// What the family that is still unanswered gets when the other one has addresses (RFC 8305 §3).
    base::Microseconds resolution_delay = std::chrono::milliseconds(50);

    enum class Outcome { cached, answered, absent, failed };
    /// Told of each name that was looked up, for figures; on the resolver's thread. It must not call the resolver.
    std::function<void(Outcome)> on_outcome{};
};

/// Asks the hosts file, then DNS, for the addresses of absolute names: A and AAAA at once, and a name once for all who
/// wait for it. Answers are cached for their time, also that a name does not exist. A name server that is silent while
/// another one answers is asked last from then on. Search domains are never tried: a name means one thing. It lives on
/// one io_context that one thread runs, and is used on that thread only. It may be destroyed while resolve() is waited
/// for, which then answers `unavailable`; the io_context must outlive it.
class Resolver {
public:
    /// `clock` decides when cached answers expire, and must outlive the resolver. Fails with invalid_argument when a
    /// server cannot be read, with internal when c-ares cannot start.
    static base::Result<std::unique_ptr<Resolver>> create(boost::asio::io_context& io, const base::Clock& clock,
                                                          ResolverOptions options = {});
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    /// The addresses of `name` (canonical), at most 16, without repeats, both families in turns, IPv6 first, each as
    /// the server ordered it. When one family is known and the other one is late, the known one has to do. Errors:
    /// not_found (no such name, or no address), deadline_exceeded (`timeout` is over, or no server answered),
    /// resource_exhausted (too many queries in flight), unavailable (the servers failed, or the wait was cancelled).
    /// Honours cancellation.
    boost::asio::awaitable<base::Result<std::vector<base::IpAddress>>> resolve(std::string name,
                                                                               base::Microseconds timeout);

    /// Names that are being asked for.
    std::size_t queries_in_flight() const noexcept;
    std::size_t cached_names() const noexcept;

private:
    class Lookups;
    explicit Resolver(std::shared_ptr<Lookups> lookups) noexcept;
    std::shared_ptr<Lookups> lookups_;
};

}  // namespace usher::gateway::dial
