#include "clients/usher/up/agent.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "base/log.hpp"
#include "base/net.hpp"
#include "base/text.hpp"
#include "clients/common/program.hpp"
#include "clients/usher/up/local_program.hpp"
#include "clients/usher/up/pac.hpp"
#include "clients/usher/up/peer_owner.hpp"

namespace usher::clients::agent {
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto no_throw = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds tick_time{1000}, full_time{200};
constexpr base::Microseconds pac_fresh = std::chrono::seconds(5), posture_every = std::chrono::minutes(1);

base::Destination destination_of(const Endpoint& endpoint) {
    return {endpoint.host, base::IpAddress::parse(endpoint.host), endpoint.port};
}

}  // namespace

Agent::Agent(Options options, const base::Clock& clock)
    : clock_(clock), options_(std::move(options)), sessions_(options_.session_file, clock), started_at_(clock.utc()) {
    gateway_ = std::make_unique<GatewayPool>(
        io_, buffers_, clock_, sessions_, [this] { return std::uniform_real_distribution<double>(0.0, 1.0)(random_); });
    about_ = "process " + std::to_string(::getpid()) + ", " + options_.config.socks.to_string();
    home_ = std::make_unique<AgentHome>(must(become_agent(options_.directory, about_)));
    commands_ =
        std::make_unique<asio::posix::stream_descriptor>(io_, ::fcntl(home_->listener.get(), F_DUPFD_CLOEXEC, 0));
    Endpoint bound;
    listeners_.push_back(listen_on(options_.config.socks, bound));
    local_ = {bound.to_string(), bound.port};
    for (const auto& rule : options_.config.forwards) {
        listeners_.push_back(listen_on(rule.local, bound));
        listeners_.back().destination = destination_of(rule.destination);
        forwards_.push_back({bound, rule.destination});
    }
}

Agent::~Agent() = default;

Agent::Listener Agent::listen_on(const Endpoint& local, Endpoint& bound) {
    if (!local.is_loopback_address())
        throw Failure{local.to_string() + " is no loopback address: everybody who reaches it would use your session",
                      exit_usage};
    boost::system::error_code error;
    const tcp::endpoint endpoint(asio::ip::make_address(local.host, error), local.port);
    tcp::acceptor acceptor(io_);
    const auto check = [&] {
        if (error)
            throw Failure{"cannot listen on " + local.to_string() + ": " + error.message() +
                          (error == asio::error::address_in_use
                               ? "; choose another port with --socks, or 0 for a free one"
                               : "")};
    };
    check();
    acceptor.open(endpoint.protocol(), error);
    check();
    acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    check();
    acceptor.bind(endpoint, error);
    check();
    acceptor.listen(256, error);
    check();
    bound = {local.host, acceptor.local_endpoint(error).port()};
    check();
    return {std::move(acceptor), std::nullopt};
}

void Agent::run(const std::function<void()>& ready) {
    asio::signal_set signals(io_, SIGTERM, SIGINT);
    signals.async_wait([this](const boost::system::error_code& error, int) {
        if (!error) stop();
    });
    const auto rethrow = [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    };
    for (auto& listener : listeners_) asio::co_spawn(io_, accept_from(listener), rethrow);
    asio::co_spawn(io_, accept_commands(), rethrow);
    asio::co_spawn(io_, tick(), rethrow);
    posture_ = std::make_unique<PostureWatch>(SystemTree(), ScreenLock(), options_.declined_file, clock_);
    ready();
    io_.run();
    posture_.reset();
}

void Agent::stop() {
    stopping_ = true;
    boost::system::error_code ignored;  // what cannot be closed goes with the process
    for (auto& listener : listeners_) listener.acceptor.close(ignored);
    commands_->close(ignored);
    for (auto& client : clients_) client->stop();
    gateway_->stop();
    ticker_.cancel();
}

asio::awaitable<void> Agent::tick() {
    while (!stopping_) {
        ticker_.expires_after(tick_time);
        co_await ticker_.async_wait(no_throw);
        const auto now = clock_.mono();
        for (auto& client : clients_) client->tick(now);
        gateway_->tick(now);
        if (!stopping_) look_at_device(now);
    }
}

void Agent::look_at_device(base::MonoTime now) {
    const auto session = sessions_.current();
    if (!session) return;
    if ((*session)->session_id == looked_.session_id && now - looked_.at < posture_every) return;
    looked_ = {(*session)->session_id, now};
    posture_->look(*session);
}

asio::awaitable<void> Agent::pause() {
    asio::steady_timer timer(io_, full_time);
    co_await timer.async_wait(no_throw);
}

/// Waits while as many clients are served as may be; false when the agent stops.
asio::awaitable<bool> Agent::may_accept() {
    while (!stopping_ && clients_.size() >= local_clients_limit) {
        co_await pause();
    }
    co_return !stopping_;
}

void Agent::serve(std::unique_ptr<LocalClient> client) {
    const auto place = clients_.insert(clients_.end(), std::move(client));
    asio::co_spawn(io_, (*place)->run(), [this, place](std::exception_ptr failure) {
        if (failure) {
            try {
                std::rethrow_exception(failure);
            } catch (const std::exception& e) {
                base::log_error("a local connection ended with an exception", {{"error", e.what()}});
            }
        }
        clients_.erase(place);
    });
}

bool Agent::may_use(int socket) {
    if (options_.any_local_user) return true;
    const auto owner = peer_owner(socket);
    if (owner && *owner && **owner == ::geteuid()) return true;
    if (!owner)
        base::log_warning("a local connection was refused", {{"error", owner.error().message}});
    else if (*owner && foreign_++ == 0)
        base::log_warning("another user of this machine tried to use the agent and was refused", {{"uid", **owner}});
    return false;
}

asio::awaitable<void> Agent::accept_from(Listener& listener) {
    while (co_await may_accept()) {
        auto [error, socket] = co_await listener.acceptor.async_accept(no_throw);
        if (stopping_) co_return;
        if (error) {
            // Without descriptors the next try would fail at once, and the one after it.
            co_await pause();
            continue;
        }
        if (!may_use(socket.native_handle())) continue;
        const int on = 1;
        (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(std::make_unique<LocalProgram>(*this, std::move(socket), listener.destination));
    }
}

asio::awaitable<void> Agent::accept_commands() {
    while (co_await may_accept()) {
        auto [error] = co_await commands_->async_wait(asio::posix::stream_descriptor::wait_read, no_throw);
        if (error || stopping_) co_return;
        base::UniqueFd accepted{::accept4(commands_->native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!accepted) {
            if (errno != EMFILE && errno != ENFILE && errno != ENOMEM) continue;
            co_await pause();
            continue;
        }
        if (!is_own_peer(accepted.get())) continue;
        serve(make_command_client(*this, asio::posix::stream_descriptor(io_, accepted.release())));
    }
}

asio::awaitable<std::variant<std::string, Refusal>> Agent::pac() {
    const auto session = sessions_.current();
    const std::string session_id = session ? (*session)->session_id : std::string();
    const bool known = session && pac_.session_id == session_id && !pac_.text.empty();
    if (known && clock_.mono() - pac_.at < pac_fresh) co_return pac_.text;
    auto got = co_await gateway_->get("/.usher/v1/apps");
    if (auto* refusal = std::get_if<Refusal>(&got)) {
        const bool away = refusal->kind == Refusal::Kind::unreachable || refusal->kind == Refusal::Kind::busy;
        if (known && away) co_return pac_.text;
        co_return std::move(*refusal);
    }
    const auto destinations = destinations_of(std::get<std::string>(got));
    if (!destinations) co_return Refusal{Refusal::Kind::malformed, destinations.error().message};
    pac_.session_id = session_id;
    pac_.text = make_pac(*destinations, local_.text);
    pac_.at = clock_.mono();
    co_return pac_.text;
}

std::string Agent::status_json() {
    const auto quote = [](std::string_view text) { return base::json_quote(text); };
    const auto summary = gateway_->summary();
    const auto session = sessions_.current();
    std::string forwards;
    for (const auto& rule : forwards_)
        forwards += std::string(forwards.empty() ? "" : ",") + "{\"local\":" + quote(rule.local.to_string()) +
                    ",\"destination\":" + quote(rule.destination.to_string()) + "}";
    std::string json =
        "{\"pid\":" + std::to_string(::getpid()) + ",\"version\":" + quote(USHER_VERSION) +
        ",\"started_at\":" + quote(base::format_rfc3339(started_at_)) + ",\"address\":" + quote(local_.text) +
        ",\"pac\":" + quote("http://" + local_.text + "/proxy.pac") + ",\"forwards\":[" + forwards +
        "],\"gateway\":" + quote(session ? (*session)->gateway.to_string() : "") +
        ",\"connections\":" + std::to_string(summary.connections) +
        ",\"open_tunnels\":" + std::to_string(traffic_.open) + ",\"tunnels\":" + std::to_string(traffic_.tunnels) +
        ",\"bytes_up\":" + std::to_string(traffic_.bytes_up) + ",\"bytes_down\":" + std::to_string(traffic_.bytes_down);
    if (!summary.last_error.empty())
        json += ",\"last_error\":" + quote(summary.last_error) +
                ",\"last_error_at\":" + quote(base::format_rfc3339(summary.last_error_at));
    return json + "}";
}

}  // namespace usher::clients::agent
