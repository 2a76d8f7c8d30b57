#include "gateway/dial/dialer.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <memory>
#include <utility>

namespace usher::gateway::dial {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

tcp::endpoint to_asio(const CheckedEndpoint& endpoint) {
    const auto& bytes = endpoint.address().bytes;
    if (endpoint.address().is_v4()) {
        return {asio::ip::address_v4({bytes[12], bytes[13], bytes[14], bytes[15]}), endpoint.port()};
    }
    asio::ip::address_v6::bytes_type v6{};
    std::copy(bytes.begin(), bytes.end(), v6.begin());
    return {asio::ip::address_v6(v6), endpoint.port()};
}

/// What an application's connection needs. The first error ends it: a connection without them would go unnoticed for
/// hours.
error_code set_options(tcp::socket& socket) {
    static constexpr struct {
        int level;
        int name;
        int value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},    {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 30},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10}, {IPPROTO_TCP, TCP_KEEPCNT, 3}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000},
    };
    for (const auto& option : options) {
        if (::setsockopt(socket.native_handle(), option.level, option.name, &option.value, sizeof option.value) != 0) {
            return {errno, boost::system::system_category()};
        }
    }
    error_code error;
    socket.non_blocking(true, error);
    return error;
}

DialError connect_error(error_code error, const base::IpAddress& address) {
    if (error == asio::error::connection_refused || error == asio::error::connection_reset) {
        return {DialErrorKind::connection_refused, "connection-refused", address};
    }
    if (error == asio::error::timed_out) return {DialErrorKind::connect_timeout, "connect-timeout", address};
    if (error == asio::error::operation_aborted) return {DialErrorKind::cancelled, "cancelled", address};
    switch (error.value()) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
        case EADDRNOTAVAIL:
            return {DialErrorKind::limits, "out-of-descriptors-or-ports", address};
        default:
            return {DialErrorKind::unreachable, "unreachable", address};
    }
}

DialError resolve_error(base::Errc code) {
    switch (code) {
        case base::Errc::not_found:
            return {DialErrorKind::name_not_found, "name-not-found", {}};
        case base::Errc::deadline_exceeded:
            return {DialErrorKind::resolve_timeout, "resolve-timeout", {}};
        case base::Errc::resource_exhausted:
            return {DialErrorKind::limits, "too-many-queries", {}};
        default:
            return {DialErrorKind::resolve_failed, "resolve-failed", {}};
    }
}

/// Of the errors of several addresses, the one that tells most: that somebody answered at all, before silence, before
/// there being no way.
int telling(DialErrorKind kind) noexcept {
    switch (kind) {
        case DialErrorKind::connection_refused:
            return 3;
        case DialErrorKind::connect_timeout:
            return 2;
        default:
            return 1;
    }
}

}  // namespace

std::vector<CheckedEndpoint> interleave_families(const std::vector<CheckedEndpoint>& endpoints) {
    std::vector<CheckedEndpoint> v6;
    std::vector<CheckedEndpoint> v4;
    for (const auto& endpoint : endpoints) (endpoint.address().is_v4() ? v4 : v6).push_back(endpoint);
    std::vector<CheckedEndpoint> out;
    for (std::size_t i = 0; i < std::max(v6.size(), v4.size()); ++i) {
        if (i < v6.size()) out.push_back(v6[i]);
        if (i < v4.size()) out.push_back(v4[i]);
    }
    return out;
}

asio::awaitable<Dialer::Endpoints> Dialer::resolve(base::Destination destination, DialRules rules,
                                                   base::Microseconds timeout) {
    std::vector<base::IpAddress> addresses;
    if (destination.address) {
        addresses.push_back(*destination.address);
    } else {
        auto resolved = co_await resolver_.resolve(destination.host, timeout);
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {
            co_return DialError{DialErrorKind::cancelled, "cancelled", {}};
        }
        if (!resolved) co_return resolve_error(resolved.error().code);
        addresses = std::move(*resolved);
    }

    std::vector<CheckedEndpoint> endpoints;
    std::optional<DialError> failure;
    for (const auto& address : addresses) {
        const auto checked = check_address(address, destination.port, rules);
        if (const auto* endpoint = std::get_if<CheckedEndpoint>(&checked)) {
            endpoints.push_back(*endpoint);
        } else if (!failure) {
            failure = DialError{DialErrorKind::address_refused, std::get<DialRefusal>(checked).reason, address};
        }
    }
    if (endpoints.empty()) {
        co_return failure.value_or(DialError{DialErrorKind::name_not_found, "name-not-found", {}});
    }
    co_return interleave_families(endpoints);
}

asio::awaitable<DialOutcome> Dialer::dial(base::Destination destination, DialRules rules, DialTimeouts timeouts) {
    auto resolved = co_await resolve(std::move(destination), std::move(rules), timeouts.resolve);
    if (const auto* error = std::get_if<DialError>(&resolved)) co_return *error;
    co_return co_await connect_any(std::get<std::vector<CheckedEndpoint>>(std::move(resolved)), timeouts.connect);
}

asio::awaitable<DialOutcome> Dialer::connect_any(std::vector<CheckedEndpoint> endpoints, base::Microseconds timeout) {
    std::optional<DialError> failure;
    // Measured by the clock that the attempts' timers run on.
    const auto end = asio::steady_timer::clock_type::now() + timeout;
    for (std::size_t i = 0; i < endpoints.size(); ++i) {
        const auto left = std::chrono::duration_cast<base::Microseconds>(end - asio::steady_timer::clock_type::now());
        // An address that is silent leaves each of those after it an equal share of the time.
        const auto share = left / static_cast<std::int64_t>(endpoints.size() - i);
        if (failure && share <= base::Microseconds::zero()) break;
        auto outcome = co_await connect(endpoints[i], share);
        if (std::holds_alternative<Dialed>(outcome)) co_return outcome;
        const auto& error = std::get<DialError>(outcome);
        if (error.kind == DialErrorKind::cancelled || error.kind == DialErrorKind::limits) co_return error;
        if (!failure || telling(error.kind) > telling(failure->kind)) failure = error;
    }
    co_return failure.value_or(DialError{DialErrorKind::unreachable, "unreachable", {}});
}

asio::awaitable<DialOutcome> Dialer::connect(CheckedEndpoint endpoint, base::Microseconds timeout) {
    struct Attempt {
        explicit Attempt(asio::io_context& io) : socket(io), timer(io) {}
        tcp::socket socket;
        asio::steady_timer timer;
        bool timed_out = false;
        bool done = false;
    };
    // Shared with the timer's handler, which may run after this coroutine is gone.
    const auto attempt = std::make_shared<Attempt>(io_);
    const auto target = to_asio(endpoint);
    error_code error;
    attempt->socket.open(target.protocol(), error);
    if (error) co_return connect_error(error, endpoint.address());
    // Set before the connection is made: TCP_USER_TIMEOUT and keepalive hold from its first byte on.
    error = set_options(attempt->socket);
    if (error) co_return connect_error(error, endpoint.address());

    attempt->timer.expires_after(timeout);
    attempt->timer.async_wait([attempt](error_code fired) {
        if (fired || attempt->done) return;
        attempt->timed_out = true;
        error_code ignored;  // a socket that cannot be cancelled has nothing pending
        attempt->socket.cancel(ignored);
    });
    const auto [failed] = co_await attempt->socket.async_connect(target, asio::as_tuple(asio::use_awaitable));
    attempt->done = true;
    attempt->timer.cancel();
    if (failed) {
        const bool late = attempt->timed_out && failed == asio::error::operation_aborted;
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {
            co_return DialError{DialErrorKind::cancelled, "cancelled", endpoint.address()};
        }
        co_return connect_error(late ? error_code(asio::error::timed_out) : failed, endpoint.address());
    }
    // A connection to an ephemeral port of this machine can meet itself (RFC 9293 §3.5); nobody listens there.
    if (attempt->socket.local_endpoint(error) == target && !error) {
        co_return DialError{DialErrorKind::connection_refused, "connection-refused", endpoint.address()};
    }
    co_return Dialed{std::move(attempt->socket), endpoint.address(), endpoint.port()};
}

}  // namespace usher::gateway::dial
