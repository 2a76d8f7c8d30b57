#include "clients/usher/up/gateway_dial.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/clock.hpp"
#include "base/net.hpp"
#include "base/text.hpp"
#include "clients/common/private_file.hpp"
#include "clients/common/tls_connection.hpp"
#include "clients/device/device_store.hpp"

namespace usher::clients::agent {
namespace asio = boost::asio;
using asio::ip::tcp;
using Dialled = std::variant<std::unique_ptr<wire::TlsStream>, DialFailure>;

namespace {

constexpr auto no_throw = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds dial_time{15};

/// A dead address must not use up the time of those behind it.
asio::awaitable<boost::system::error_code> connect_within(tcp::socket& socket, tcp::endpoint to,
                                                          std::chrono::milliseconds time) {
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    auto outcome = co_await (socket.async_connect(to, no_throw) || timer.async_wait(no_throw));
    if (outcome.index() == 1) co_return make_error_code(asio::error::timed_out);
    co_return std::get<0>(std::get<0>(outcome));
}

/// Half-open connections are found within a minute; a keystroke does not wait for the acknowledgement before it.
void tune(tcp::socket& socket) {
    const int fd = socket.native_handle(), on = 1, idle_s = 30, every_s = 10, probes = 3;
    const unsigned user_timeout_ms = 60'000;
    // Only speed and patience depend on these; without them all still works.
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
}

/// What the connection shows and whom it believes. Reads files and may ask a token, which takes its time; other tunnels
/// wait as long. It is once a connection, and there are four at most.
std::variant<TlsTrust, DialFailure> trust_for(const SavedSession& session) {
    auto trust = TlsTrust::load(session.ca_file);
    if (!trust) return DialFailure{trust.error().message, true};
    auto directory = config_directory("usher");
    if (!directory) return DialFailure{directory.error().message, true};
    auto identity = device::DeviceStore(*directory, device::PinAsking::never).load();
    if (!identity) return DialFailure{identity.error().message, identity.error().code != base::Errc::unavailable};
    // One that has expired would end the handshake; without it the gateway says what is wrong.
    if (*identity && !(*identity)->expired(base::SystemClock{}.utc())) trust->present(std::move(**identity));
    return std::move(*trust);
}

asio::awaitable<Dialled> connect_gateway(std::shared_ptr<const SavedSession> session, TlsTrust trust,
                                         wire::BufferPool& pool) {
    const auto executor = co_await asio::this_coro::executor;
    const std::string shown = session->gateway.to_string();
    const auto unreachable = [&shown](const std::string& why) {
        return DialFailure{"the gateway " + shown + " cannot be reached: " + why, false};
    };
    tcp::resolver resolver(executor);
    auto [resolve_error, found] =
        co_await resolver.async_resolve(session->gateway.host, std::to_string(session->gateway.port), no_throw);
    if (resolve_error) co_return unreachable("its address is not found: " + resolve_error.message());

    tcp::socket socket(executor);
    boost::system::error_code error = asio::error::host_not_found;
    const auto share = std::chrono::milliseconds(10'000) / static_cast<int>(std::max<std::size_t>(found.size(), 1));
    for (const auto& entry : found) {
        socket = tcp::socket(executor);
        error = co_await connect_within(socket, entry.endpoint(), share);
        if (!error) break;
    }
    if (error) co_return unreachable(error.message());
    tune(socket);

    auto tls = std::make_unique<wire::TlsStream>(std::move(socket), trust.context(), pool, session->gateway.host);
    if (co_await tls->handshake() != wire::IoStatus::done) {
        const std::string untrusted = tls->verification_error();
        if (!untrusted.empty())
            co_return DialFailure{"the gateway " + shown + " is not trusted: " + untrusted +
                                      "; sign in again with the right authority: usher login --ca FILE",
                                  true};
        co_return unreachable(tls->last_error());
    }
    if (tls->protocol() != "h2")
        co_return DialFailure{"the gateway " + shown + " does not speak HTTP/2; is this the port of an Usher gateway?",
                              true};
    co_return Dialled{std::move(tls)};
}

}  // namespace

asio::awaitable<Dialled> dial_gateway(std::shared_ptr<const SavedSession> session, wire::BufferPool& pool) {
    using namespace asio::experimental::awaitable_operators;
    const std::string shown = session->gateway.to_string();
    // Not inside of what is timed: of an operation that ends before its first wait, || gives the timer's end.
    auto trust = trust_for(*session);
    if (auto* failure = std::get_if<DialFailure>(&trust)) co_return std::move(*failure);
    asio::steady_timer timer(co_await asio::this_coro::executor, dial_time);
    auto outcome = co_await (connect_gateway(std::move(session), std::get<0>(std::move(trust)), pool) ||
                             timer.async_wait(no_throw));
    if (outcome.index() == 1) co_return DialFailure{"the gateway " + shown + " cannot be reached: no answer", false};
    co_return std::get<0>(std::move(outcome));
}

}  // namespace usher::clients::agent
