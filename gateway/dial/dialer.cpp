#include "gateway/dial/dialer.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <memory>
#include <utility>

#include "gateway/dial/half_open.hpp"
#include "gateway/dial/race.hpp"

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
error_code set_options(tcp::socket& socket, base::Microseconds half_open) {
    error_code error;
    socket.set_option(tcp::no_delay(true), error);
    if (error) return error;
    if (const int refused = set_half_open_limit(socket.native_handle(), half_open); refused != 0) {
        return {refused, boost::system::system_category()};
    }
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

/// Of the errors of several addresses, the one that tells most: that the gateway itself could not, that somebody
/// answered at all, before silence, before there being no way.
int telling(DialErrorKind kind) noexcept {
    switch (kind) {
        case DialErrorKind::limits:
            return 4;
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

/// The attempts of one connect_any(), shared with their handlers, which may run after it is gone.
struct Dialer::Attempts {
    Attempts(asio::io_context& io, std::vector<CheckedEndpoint> to, base::Microseconds timeout)
        : endpoints(std::move(to)), race(endpoints.size(), now(), timeout), changed(io) {}

    struct Attempt {
        Attempt(asio::io_context& io, std::size_t index) : socket(io), address(index) {}
        tcp::socket socket;
        std::size_t address;
        std::optional<error_code> result;
    };

    void close(std::size_t address) {
        error_code ignored;  // as below
        for (auto& attempt : under_way)
            if (attempt->address == address) attempt->socket.close(ignored);
        std::erase_if(under_way, [&](const auto& attempt) { return attempt->address == address; });
    }

    /// Closes what is still under way. A connection that a loser has just made is closed before a byte is sent on it.
    void close_all() {
        error_code ignored;  // closing is the last thing done to it
        for (auto& attempt : under_way) attempt->socket.close(ignored);
        under_way.clear();
    }

    // Measured by the clock that the timer runs on.
    using TimerClock = asio::steady_timer::clock_type;
    base::MonoTime now() const {
        return base::MonoTime{std::chrono::duration_cast<base::Microseconds>(TimerClock::now() - begun)};
    }
    void note(const DialError& error) {
        if (!failure || telling(error.kind) > telling(failure->kind)) failure = error;
    }
    void failed(std::size_t address, error_code error) {
        note(connect_error(error, endpoints[address].address()));
        race.failed(address, now());
    }
    /// Takes what has come of those under way. The connection, when there is one.
    std::optional<Dialed> collect();

    const std::vector<CheckedEndpoint> endpoints;
    const TimerClock::time_point begun = TimerClock::now();
    Race race;
    asio::steady_timer changed;
    bool stopped = false;
    std::optional<DialError> failure;
    std::vector<std::shared_ptr<Attempt>> under_way;
    std::optional<DialOutcome> outcome;
};

std::optional<Dialed> Dialer::Attempts::collect() {
    for (auto it = under_way.begin(); it != under_way.end();) {
        auto& attempt = **it;
        if (!attempt.result) {
            ++it;
            continue;
        }
        const auto& endpoint = endpoints[attempt.address];
        error_code error = *attempt.result;
        // A connection to an ephemeral port of this machine can meet itself (RFC 9293 §3.5); nobody listens there.
        if (!error && attempt.socket.local_endpoint(error) == to_asio(endpoint)) {
            error = asio::error::connection_refused;
        }
        if (!error) return Dialed{std::move(attempt.socket), endpoint.address(), endpoint.port()};
        failed(attempt.address, error);
        it = under_way.erase(it);
    }
    return std::nullopt;
}

void Dialer::Stop::now() {
    if (const auto attempts = attempts_.lock()) {
        attempts->stopped = true;
        attempts->changed.cancel();
    }
}

/// What there is to remember is not in the coroutine's frame: Asio keeps a large frame's memory for the next frame,
/// which may be a tunnel's for days.
asio::awaitable<DialOutcome> Dialer::connect_any(std::vector<CheckedEndpoint> endpoints, base::Microseconds timeout,
                                                 Stop* stop) {
    const auto attempts = std::make_shared<Attempts>(io_, std::move(endpoints), timeout);
    if (stop != nullptr) stop->attempts_ = attempts;
    // Whatever way this ends, by an exception of the owner's too, no attempt stays behind.
    struct CloseAll {
        Attempts& attempts;
        Stop* stop;
        ~CloseAll() {
            attempts.close_all();
            if (stop != nullptr) stop->attempts_.reset();  // which would keep the memory for as long as the tunnel
        }
    } const close_all{*attempts, stop};
    while (!advance(attempts)) {
        co_await attempts->changed.async_wait(asio::as_tuple(asio::use_awaitable));
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) attempts->stopped = true;
    }
    co_return std::move(*attempts->outcome);
}

bool Dialer::advance(const std::shared_ptr<Attempts>& attempts) {
    auto& a = *attempts;
    const auto over = [&a](DialOutcome outcome) {
        a.outcome = std::move(outcome);
        return true;
    };
    if (a.stopped) return over(DialError{DialErrorKind::cancelled, "cancelled", a.endpoints.front().address()});
    if (auto connected = a.collect()) return over(std::move(*connected));
    for (;;) {
        const auto step = a.race.next(a.now());
        if (step.kind == Race::Step::Kind::lost)
            return over(a.failure.value_or(DialError{DialErrorKind::unreachable, "unreachable", {}}));
        if (step.kind == Race::Step::Kind::timeout) {
            a.note({DialErrorKind::connect_timeout, "connect-timeout", a.endpoints.front().address()});
            return over(*a.failure);
        }
        if (step.kind != Race::Step::Kind::begin) {
            a.changed.expires_at(a.begun + step.wake.time_since_epoch());
            return false;
        }
        if (step.give_up) {
            a.note({DialErrorKind::connect_timeout, "connect-timeout", a.endpoints[*step.give_up].address()});
            a.close(*step.give_up);
        }
        if (const error_code error = begin(attempts, a.endpoints[step.address], step.address))
            a.failed(step.address, error);
    }
}

error_code Dialer::begin(const std::shared_ptr<Attempts>& attempts, const CheckedEndpoint& endpoint,
                         std::size_t index) {
    auto attempt = std::make_shared<Attempts::Attempt>(io_, index);
    const auto target = to_asio(endpoint);
    error_code error;
    attempt->socket.open(target.protocol(), error);
    if (error) return error;
    if (attempt->socket.native_handle() >= options_.descriptors_below)
        return {EMFILE, boost::system::system_category()};
    // Set before the connection is made: they hold from its first byte on.
    error = set_options(attempt->socket, options_.half_open);
    if (error) return error;
    attempts->under_way.push_back(attempt);
    attempt->socket.async_connect(target, [attempts, attempt](error_code failed) {
        attempt->result = failed;
        attempts->changed.cancel();
    });
    return {};
}

}  // namespace usher::gateway::dial
