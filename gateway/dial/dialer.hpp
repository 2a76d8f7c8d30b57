#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/net.hpp"
#include "gateway/dial/checked_endpoint.hpp"
#include "gateway/dial/resolver.hpp"

namespace usher::gateway::dial {

struct DialTimeouts {
    base::Microseconds resolve = std::chrono::seconds(5);
    base::Microseconds connect = std::chrono::seconds(10);  ///< for all addresses of the name together
};

enum class DialErrorKind {
    name_not_found,      ///< the name does not exist or has no address
    resolve_failed,      ///< the name servers are broken or refuse
    resolve_timeout,     ///< the name servers are silent
    address_refused,     ///< no address of the name may be dialled; `reason` says why for the first of them
    connection_refused,  ///< the application's machine answers that nobody listens
    connect_timeout,     ///< no answer at all
    unreachable,         ///< no route, or a firewall says no
    limits,              ///< the gateway is out of descriptors, ports, memory or queries
    cancelled,           ///< the owner stopped it
};

struct DialError {
    DialErrorKind kind;
    std::string_view reason;                 ///< a fixed token, for the record
    std::optional<base::IpAddress> address;  ///< the address that was refused or that failed, when there is one
};

/// A connection to the application: non-blocking, without Nagle's delay, with DialerOptions::half_open set.
struct Dialed {
    boost::asio::ip::tcp::socket socket;
    base::IpAddress address;  ///< the one that was checked, and is connected to
    std::uint16_t port;
};

using DialOutcome = std::variant<Dialed, DialError>;

/// Orders addresses for dialling: families take turns, IPv6 first (RFC 8305 §4); the order within each is kept.
std::vector<CheckedEndpoint> interleave_families(const std::vector<CheckedEndpoint>& endpoints);

struct DialerOptions {
    base::Microseconds half_open = std::chrono::seconds(60);  ///< until an app that vanished is noticed
    /// Sockets get numbers below this; past it dialling fails with `limits`. What is above is for who must go on
    /// working when clients have taken everything. The kernel always gives the lowest number that is free.
    int descriptors_below = std::numeric_limits<int>::max();
};

/// Opens connections to applications. Used on the one thread that runs `io`.
class Dialer {
    struct Attempts;

public:
    /// Both must outlive every dial().
    Dialer(boost::asio::io_context& io, Resolver& resolver, DialerOptions options = {}) noexcept
        : io_(io), resolver_(resolver), options_(options) {}

    using Endpoints = std::variant<std::vector<CheckedEndpoint>, DialError>;
    /// Resolves the destination once (an address literal not at all) and judges every address by `rules`: those that
    /// pass, in the order to dial them, at least one.
    boost::asio::awaitable<Endpoints> resolve(base::Destination destination, DialRules rules,
                                              base::Microseconds timeout);

    /// Ends a connect_any(), without the coroutine of its own that a cancellation signal takes.
    class Stop {
    public:
        /// What was given this answers `cancelled`; nothing when there is none, or it has ended.
        void now();

    private:
        friend class Dialer;
        std::weak_ptr<Attempts> attempts_;
    };

    /// Connects by the rules of Race, within `timeout` in all: an address that is silent is joined by the next after a
    /// quarter of a second, the first that answers wins, and the others are closed. `endpoints` must not be empty.
    /// `stop` may be null, and outlives it.
    boost::asio::awaitable<DialOutcome> connect_any(std::vector<CheckedEndpoint> endpoints, base::Microseconds timeout,
                                                    Stop* stop = nullptr);

    /// resolve(), then connect_any(). None of these throws for what the network does; when cancelled (terminal) they
    /// answer `cancelled`.
    boost::asio::awaitable<DialOutcome> dial(base::Destination destination, DialRules rules, DialTimeouts timeouts);

private:
    /// As far as it goes now: true when there is an outcome, else its timer is set.
    bool advance(const std::shared_ptr<Attempts>& attempts);
    /// Begins to connect to one endpoint; `index` is its number in the race.
    boost::system::error_code begin(const std::shared_ptr<Attempts>& attempts, const CheckedEndpoint& endpoint,
                                    std::size_t index);

    boost::asio::io_context& io_;
    Resolver& resolver_;
    DialerOptions options_;
};

}  // namespace usher::gateway::dial
