#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/net.hpp"
#include "base/result.hpp"

namespace usher::gateway::dial {

struct ResolverOptions {
    std::vector<std::string> servers{};  ///< "192.0.2.53:53", "[2001:db8::53]:53"; empty: those of /etc/resolv.conf
    base::Microseconds attempt_timeout = std::chrono::seconds(1);  ///< until a server that is silent is asked again
    int attempts = 2;                                              ///< of each server
    std::size_t queries = 1024;                                    ///< in flight at once
    std::size_t cache_entries = 4096;                              ///< names
    base::Microseconds cache_ttl_max = std::chrono::seconds(60);   ///< however long an answer says it lives
};

/// Asks the hosts file, then DNS, for the addresses of absolute names, with as many queries in flight as there are
/// names asked for. Search domains are never tried: a name means one thing. It lives on one io_context that one thread
/// runs, and is used on that thread only. It may be destroyed while resolve() is waited for, which then answers
/// `unavailable`; the io_context must outlive it.
class Resolver {
public:
    /// `clock` decides when cached answers expire, and must outlive the resolver. Fails with invalid_argument when a
    /// server cannot be read, with internal when c-ares cannot start.
    static base::Result<std::unique_ptr<Resolver>> create(boost::asio::io_context& io, const base::Clock& clock,
                                                          ResolverOptions options = {});
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    /// The addresses of `name` (canonical), at most 16, without repeats, as the server ordered them. Errors: not_found
    /// (no such name, or no address), deadline_exceeded (`timeout` is over, or no server answered), resource_exhausted
    /// (too many queries in flight), unavailable (the servers failed, or the wait was cancelled). Honours cancellation.
    boost::asio::awaitable<base::Result<std::vector<base::IpAddress>>> resolve(std::string name,
                                                                               base::Microseconds timeout);

    /// Queries that c-ares has not answered yet.
    std::size_t queries_in_flight() const noexcept;
    std::size_t cached_names() const noexcept;

private:
    class Channel;
    explicit Resolver(std::unique_ptr<Channel> channel) noexcept;
    std::unique_ptr<Channel> channel_;
};

}  // namespace usher::gateway::dial
