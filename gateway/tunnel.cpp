#include "gateway/tunnel.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <variant>

#include "base/log.hpp"
#include "gateway/relay.hpp"
#include "gateway/worker.hpp"
#include "wire/http1/authorization.hpp"
#include "wire/http1/response.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using wire::http1::Response;

namespace {

/// Two ends of a stream, one for this process's own control API. A function, for tests/sanitizers/tsan.supp to name.
bool pair_with_control(int (&fds)[2]) noexcept {
    return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0;
}

struct Answer {
    // A constructor, for gcc 12 destroys an aggregate that is a temporary of a co_await expression twice.
    Answer(int http_status, std::string_view error, std::string text)
        : status(http_status), proxy_error(error), detail(std::move(text)) {}
    int status;
    std::string_view proxy_error;  ///< RFC 9209 §2.3
    std::string detail;
};

asio::awaitable<bool> refuse(Exchange& exchange, const Answer& answer) {
    Response response(answer.status);
    response.close().no_store().text(answer.detail);
    if (answer.status == 407)
        response.proxy_challenge();
    else
        response.field("proxy-status", wire::http1::proxy_status(answer.proxy_error, answer.detail));
    co_return co_await exchange.send(response);
}

/// What the client is told of a failure to reach the app: the kind, not the addresses.
Answer answer_for(const dial::DialError& error) {
    using Kind = dial::DialErrorKind;
    switch (error.kind) {
        case Kind::address_refused:
            return {403, "destination_ip_prohibited", "no policy allows this destination"};
        case Kind::name_not_found:
        case Kind::resolve_failed:
            return {502, "dns_error", "the app's name does not resolve"};
        case Kind::resolve_timeout:
            return {504, "dns_timeout", "the app's name could not be resolved in time"};
        case Kind::connection_refused:
            return {502, "connection_refused", "the app refused the connection"};
        case Kind::connect_timeout:
            return {504, "connection_timeout", "the app did not answer in time"};
        case Kind::unreachable:
            return {502, "destination_ip_unroutable", "the app can't be reached"};
        case Kind::limits:
            return {503, "proxy_internal_error", "the gateway is at its limits"};
        case Kind::cancelled:
            break;
    }
    return {503, "connection_terminated", "the access was ended"};
}

/// What somebody is told who has as many tunnels as anybody may.
std::string too_many(std::string_view limit) {
    return std::string("too many tunnels are open ") +
           (limit == "tunnels_per_device" ? "from this device" : "by this account") + "; close some and try again";
}

/// Registers an access with its worker for as long as it lives.
class Registration {
public:
    Registration(Exchange& exchange, LiveAccess& access) : exchange_(exchange), access_(access) {
        exchange_.worker().enter(access_);
        exchange_.set_access(&access_);
    }
    ~Registration() {
        exchange_.set_access(nullptr);
        exchange_.worker().leave(access_);
    }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

private:
    Exchange& exchange_;
    LiveAccess& access_;
};

class Tunnel {
public:
    Tunnel(Exchange& exchange, Admission admission, limits::TunnelSlot slot, const base::Destination& destination)
        : slot_(std::move(slot)),
          exchange_(exchange),
          worker_(exchange.worker()),
          services_(worker_.services()),
          started_(services_.clock.mono()),
          allow_addresses_(std::move(admission.allow_addresses)),
          control_(admission.control),
          access_(services_.journal, services_.clock, worker_.orders(), worker_.io().get_executor(),
                  std::move(admission.record), base::new_uuid(services_.clock), std::move(admission.session),
                  destination),
          registration_(exchange, access_) {
        access_.on_cut([this] { stop(); });
    }

    ~Tunnel() {
        services_.metrics.bytes_up.Increment(static_cast<double>(access_.bytes_up()));
        services_.metrics.bytes_down.Increment(static_cast<double>(access_.bytes_down()));
    }

    // The three steps of run_tunnel(), whose frame is there for as long as the tunnel: what a step needs is not in it.

    /// Up to the client's 200, when there is something to relay; else what run_tunnel() returns.
    asio::awaitable<std::optional<bool>> open() {
        std::vector<dial::CheckedEndpoint> endpoints;
        if (!control_) {
            dial::DialRules rules{std::move(allow_addresses_), worker_.own_listeners()};
            auto resolving =
                worker_.dialer().resolve(access_.destination(), std::move(rules), services_.config.dns.timeout);
            // An address needs no name server, so there is nothing to wait for and nothing that stop() could end.
            if (!access_.destination().address) resolving = cancellable(std::move(resolving));
            auto resolved = co_await std::move(resolving);
            if (access_.was_cut()) co_return over(CloseReason::REVOKED);
            if (auto* failure = std::get_if<dial::DialError>(&resolved)) co_return co_await unreachable(*failure);
            endpoints = std::get<std::vector<dial::CheckedEndpoint>>(std::move(resolved));
            access_.record().set_destination_ip(endpoints.front().address().to_string());
        }

        // The record must be durable before the client learns that the tunnel is open; dialling may go on meanwhile.
        access_.open();
        const auto failure = co_await connect(std::move(endpoints));
        const bool durable = co_await access_.durable();
        // An order finds it since it is registered. What no order is about may have changed meanwhile.
        access_.look_at_orders();
        if (const auto reason = services_.gatekeeper.judge(access_)) access_.cut(*reason);
        if (access_.was_cut()) co_return over(CloseReason::REVOKED);
        if (!durable) {
            access_.close(CloseReason::JOURNAL_FAILED);
            services_.metrics.denied("journal-unavailable");
            co_return co_await refuse(
                exchange_, {503, "proxy_internal_error", "the access can't be recorded now; try again later"});
        }
        if (failure) co_return co_await unreachable(*failure);
        relay_.emplace(exchange_.end(), *app_, access_, worker_.pool(), worker_.turns());
        if (!co_await exchange_.establish()) {
            relay_->stop();
            co_return over(CloseReason::CLIENT_ERROR);
        }
        services_.metrics.tunnels_admitted.Increment();
        services_.metrics.setup_seconds.Observe(static_cast<double>((services_.clock.mono() - started_).count()) / 1e6);
        co_return std::nullopt;
    }

    asio::awaitable<CloseReason::Value> relay() { return relay_->run(exchange_.take_early()); }

    bool end(CloseReason::Value reason) {
        app_->abort(false);
        return over(reason);
    }

private:
    using Stream = asio::generic::stream_protocol::socket;

    /// Runs the resolving of a name so that stop() can end it.
    template <class T>
    asio::awaitable<T> cancellable(asio::awaitable<T> step) {
        std::optional<T> result;  // co_spawn wants results that can be default-made
        co_await asio::co_spawn(
            worker_.io(), [&]() -> asio::awaitable<void> { result.emplace(co_await std::move(step)); },
            asio::bind_cancellation_slot(resolving_.slot(), asio::use_awaitable));
        co_return std::move(*result);
    }

    bool over(CloseReason::Value reason) {
        access_.close(reason);
        exchange_.end().abort(false);
        return false;
    }

    asio::awaitable<bool> unreachable(const dial::DialError& failure) {
        const Answer answer = answer_for(failure);
        auto& record = access_.record();
        const bool refused = failure.kind == dial::DialErrorKind::address_refused;
        record.set_verdict(refused ? usher::v1::Verdict::DENIED : usher::v1::Verdict::FAILED);
        // Before what met the conditions of the rule: of a list that is cut the end goes.
        record.add_reasons(std::string(failure.reason));
        for (int i = record.reasons_size() - 1; i > 1; --i) record.mutable_reasons()->SwapElements(i, i - 1);
        services_.metrics.denied(std::string(failure.reason));
        access_.close(CloseReason::APP_UNREACHABLE);
        co_return co_await refuse(exchange_, answer);
    }

    /// Leaves app_, or says why there is none.
    asio::awaitable<std::optional<dial::DialError>> connect(std::vector<dial::CheckedEndpoint> endpoints) {
        if (control_) co_return connect_control();
        const auto said = endpoints.front().address();
        auto outcome = co_await worker_.dialer().connect_any(std::move(endpoints), services_.config.timeouts.connect,
                                                             &connecting_);
        if (auto* failure = std::get_if<dial::DialError>(&outcome)) co_return *failure;
        auto& connected = std::get<dial::Dialed>(outcome);
        if (connected.address != said) access_.record().set_destination_ip(connected.address.to_string());
        app_.emplace(Stream(std::move(connected.socket)));
        co_return std::nullopt;
    }

    /// The built-in app: one end of a socketpair goes to the control API, which treats it as a stranger until each call
    /// has shown its own credential.
    std::optional<dial::DialError> connect_control() {
        int fds[2];
        if (!pair_with_control(fds)) {
            return dial::DialError{dial::DialErrorKind::limits, "no-descriptors", {}};
        }
        asio::local::stream_protocol::socket ours(worker_.io(), asio::local::stream_protocol(), fds[0]);
        control::TunnelOrigin origin{access_.session()->device_key, access_.client_ip()};
        if (auto served = services_.serve_control(fds[1], std::move(origin)); !served) {
            base::log_warning("a tunnel to the control API could not be served", {{"error", served.error().message}});
            return dial::DialError{dial::DialErrorKind::limits, "control-unavailable", {}};
        }
        app_.emplace(Stream(std::move(ours)));
        return std::nullopt;
    }

    /// Whatever is under way ends now.
    void stop() {
        resolving_.emit(asio::cancellation_type::terminal);
        connecting_.now();
        if (relay_)
            relay_->stop();
        else
            exchange_.end().abort(true);
    }

    limits::TunnelSlot slot_;  ///< goes last: the tunnel is counted until all of it is gone
    Exchange& exchange_;
    Worker& worker_;
    Services& services_;
    base::MonoTime started_;
    std::vector<base::Cidr> allow_addresses_;
    bool control_;
    LiveAccess access_;
    Registration registration_;
    asio::cancellation_signal resolving_;
    dial::Dialer::Stop connecting_;
    std::optional<wire::PlainSocket> app_;
    std::optional<Relay> relay_;
};

/// Pointers, for a coroutine has it in its frame for as long as the tunnel is there.
using Judged = std::variant<std::unique_ptr<Answer>, std::unique_ptr<Tunnel>>;

template <class... Of>
Judged refused(Of&&... of) {
    return std::make_unique<Answer>(std::forward<Of>(of)...);
}

/// Whether somebody may have the tunnel that the request asks for. What is refused is on record.
Judged judge(Exchange& exchange, const wire::http1::Request& request) {
    auto& worker = exchange.worker();
    auto& services = worker.services();
    const base::Destination destination = *request.destination;

    const auto refuse_early = [&](const char* reason) {
        AccessRecord record = new_record(exchange.peer(), services.clock.utc());
        set_destination(record, destination);
        deny(record, reason);
        worker.record_denial(std::move(record));
    };
    if (services.phase.load(std::memory_order_relaxed) == Phase::draining) {
        refuse_early("shutting-down");
        return refused(503, "proxy_internal_error", "the gateway is shutting down");
    }
    Credential credential;
    if (const std::string* value = request.field("proxy-authorization")) {
        auto parsed = wire::http1::parse_authorization(*value);
        if (const auto* error = std::get_if<wire::http1::AuthorizationError>(&parsed)) {
            const bool unknown = *error == wire::http1::AuthorizationError::unsupported_scheme;
            refuse_early(unknown ? "credential-scheme" : "credential-malformed");
            return refused(unknown ? 407 : 400, "http_request_error",
                           unknown ? "use Bearer or Basic credentials" : "malformed credentials");
        }
        if (auto* bearer = std::get_if<wire::http1::Bearer>(&parsed))
            credential = std::move(*bearer);
        else
            credential = std::move(std::get<wire::http1::Basic>(parsed));
    }

    auto admitted = services.gatekeeper.admit(credential, destination, exchange.peer());
    if (auto* refusal = std::get_if<Refusal>(&admitted)) {
        worker.record_denial(std::move(refusal->record));
        return refused(refusal->status, "http_request_denied", std::move(refusal->detail));
    }
    if (!services.journal.status().healthy) {
        services.metrics.denied("journal-unavailable");
        return refused(503, "proxy_internal_error", "the access can't be recorded now; try again later");
    }
    auto& admission = std::get<Admission>(admitted);
    auto entered = services.tunnel_limits.enter(*admission.session);
    if (const auto* limit = std::get_if<const char*>(&entered)) {
        worker.record_limit(std::move(admission.record), *limit);
        return refused(429, "connection_limit_reached", too_many(*limit));
    }
    return std::make_unique<Tunnel>(exchange, std::move(admission), std::get<limits::TunnelSlot>(std::move(entered)),
                                    destination);
}

}  // namespace

asio::awaitable<bool> run_tunnel(Exchange& exchange, std::unique_ptr<wire::http1::Request> request) {
    auto judged = judge(exchange, *request);
    // Nothing of the request outlives its judgement: there is a token in it.
    request->wipe_credentials();
    request.reset();
    if (auto* answer = std::get_if<std::unique_ptr<Answer>>(&judged)) co_return co_await refuse(exchange, **answer);
    auto& tunnel = *std::get<std::unique_ptr<Tunnel>>(judged);
    if (const std::optional<bool> over = co_await tunnel.open()) co_return *over;
    co_return tunnel.end(co_await tunnel.relay());
}

}  // namespace usher::gateway
