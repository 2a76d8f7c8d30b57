#include "gateway/session_api.hpp"

#include "auth/policy.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/api_answer.hpp"
#include "gateway/device_api.hpp"
#include "gateway/posture_api.hpp"
#include "gateway/record.hpp"
#include "gateway/second_factor_api.hpp"
#include "gateway/sign_in.hpp"
#include "wire/http1/authorization.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using wire::http1::Response;

namespace {

asio::awaitable<bool> sign_in(Exchange& exchange, wire::http1::Request& request, bool keep) {
    auto& services = exchange.worker().services();
    auto object = co_await read_form(exchange, request);
    if (!object) co_return false;
    auto form = read_sign_in_form(std::move(*object));
    if (!form) co_return co_await fail(exchange, 400, form.error().message, false);

    auto outcome = co_await sign_in(services, exchange.worker(), exchange.peer(), std::move(*form));
    switch (outcome.status) {
        case 201: {
            std::string json = "{\"token\":" + base::json_quote(outcome.token.reveal()) +
                               ",\"session_id\":" + base::json_quote(outcome.session->id) +
                               ",\"username\":" + base::json_quote(outcome.username) + ",\"expires_at\":" +
                               base::json_quote(base::format_rfc3339(services.sessions.expires_at(*outcome.session))) +
                               "}";
            Response response = success(json, 201);
            base::wipe(json);
            co_return co_await answer(exchange, std::move(response), keep);
        }
        case 429:
            co_return co_await fail_throttled(exchange, outcome.retry_after, keep);
        case 403:
            if (!outcome.device_refused.empty()) co_return co_await fail(exchange, 403, outcome.device_refused, keep);
            co_return co_await fail(exchange, 403, "password-change-required", keep);
        case 422: {
            Response response(422);
            response.no_store().json(
                "{\"error\":\"password-refused\",\"reason\":" + base::json_quote(outcome.password_refused) + "}");
            co_return co_await answer(exchange, std::move(response), keep);
        }
        case 503:
            co_return co_await fail(exchange, 503, "unavailable", keep);
        default:
            co_return co_await fail(exchange, 401, "sign-in-failed", keep);
    }
}

asio::awaitable<bool> current_session(Exchange& exchange, const Gatekeeper::Subject& subject, bool keep) {
    auto& services = exchange.worker().services();
    using Count = std::optional<std::uint64_t>;
    auto count = [&services, id = subject.session->id] {
        return base::Result<Count>(services.open_accesses({&id, 1}, count_open_limit));
    };
    const auto counted = co_await services.background.run<Count>(std::move(count));
    const Count open = counted ? *counted : Count{};
    std::string json =
        "{\"session_id\":" + base::json_quote(subject.session->id) +
        ",\"username\":" + base::json_quote(subject.account->username) +
        ",\"tenant\":" + base::json_quote(tenant_of(services.devices)) +
        ",\"department\":" + base::json_quote(subject.account->department) +
        ",\"created_at\":" + base::json_quote(base::format_rfc3339(subject.session->created_at)) +
        ",\"expires_at\":" + base::json_quote(base::format_rfc3339(services.sessions.expires_at(*subject.session)));
    json += std::string(",\"second_factor\":") + (subject.account->second_factor ? "true" : "false");
    if (const auto proved = subject.session->second_factor_us.load(); proved != 0)
        json += ",\"second_factor_at\":" + base::json_quote(base::format_rfc3339(base::from_micros(proved)));
    if (subject.device != nullptr)
        json += ",\"device_id\":" + base::json_quote(subject.device->id) +
                ",\"device_state\":" + base::json_quote(auth::to_word(subject.device->state));
    if (open) json += ",\"open_accesses\":" + std::to_string(*open);
    json += "}";
    co_return co_await answer(exchange, success(json), keep);
}

/// Whoever shows the token of a session that was is told what became of it.
Response not_signed_in(Services& services, const wire::http1::Request& request) {
    const auto credential = credential_of(request);
    const auto* bearer = std::get_if<wire::http1::Bearer>(&credential);
    const auto ended = bearer != nullptr ? services.sessions.ended(bearer->token.reveal()) : std::nullopt;
    if (!ended) return failure(401, "not-signed-in");
    const auto reason = [&]() -> std::string_view {
        const auto directory = services.directory.snapshot();
        const auth::Account* account = directory->account_by_id(ended->account_id);
        if (account == nullptr) return "account-deleted";
        if (auth::standing(*account, services.clock.utc()) != auth::Standing::good) return "account-disabled";
        switch (ended->why) {
            case auth::SessionEnd::signed_out:
                return "signed-out";
            case auth::SessionEnd::expired:
                return "expired";
            case auth::SessionEnd::displaced:
                return "displaced";
            default:
                return "revoked";
        }
    }();
    Response response(401);
    response.no_store().challenge().json("{\"error\":\"not-signed-in\",\"reason\":" + base::json_quote(reason) + "}");
    return response;
}

asio::awaitable<bool> list_apps(Exchange& exchange, const Gatekeeper::Subject& subject, bool keep) {
    const auto& services = exchange.worker().services();
    const auto wait = services.app_list_rates.take(*subject.session, services.clock.mono());
    if (wait > base::Microseconds{0}) {
        auto record = new_record(exchange.peer(), services.clock.utc());
        set_subject(record, *subject.account, *subject.session);
        set_device(record, subject.device);
        exchange.worker().record_limit(std::move(record), "app_lists_per_minute");
        co_return co_await fail_throttled(exchange, wait, keep, "too-many-app-lists");
    }
    std::string json = "{\"apps\":[";
    const auto context =
        services.gatekeeper.context(*subject.session, exchange.peer().ip, subject.device, services.clock.utc());
    auto add = [&json, first = true](const std::string& name, const auto& destinations) mutable {
        json += std::string(std::exchange(first, false) ? "" : ",") + "{\"name\":" + base::json_quote(name) +
                ",\"destinations\":[";
        for (std::size_t i = 0; i < destinations.size(); ++i)
            json += (i == 0 ? "" : ",") + base::json_quote(destinations[i].to_string());
        json += "]}";
    };
    for (const auto& app : subject.directory->apps())
        if (auth::decide(*subject.directory, *subject.account, app, context).allowed) add(app.name, app.destinations);
    if (auth::decide_control(*subject.directory, *subject.account, context).allowed) {
        const base::Destination control{std::string(auth::control_app_host), std::nullopt, 443};
        add(std::string(auth::control_app_name), std::vector{control});
    }
    json += "]}";
    co_return co_await answer(exchange, success(json), keep);
}

}  // namespace

asio::awaitable<bool> serve_session_api(Exchange& exchange, wire::http1::Request& request) {
    auto& services = exchange.worker().services();
    const Phase phase = services.phase.load(std::memory_order_relaxed);
    const bool keep = request.keep_alive && phase == Phase::serving;
    const std::string path = request.target.substr(0, request.target.find('?'));
    const bool sessions = path == "/.usher/v1/sessions";
    const bool current = path == "/.usher/v1/sessions/current";
    const bool posture = path == "/.usher/v1/sessions/current/posture";
    const bool apps = path == "/.usher/v1/apps";
    const auto factor = second_factor_request(path);
    const auto device = device_request(path);
    if (!sessions && !current && !posture && !apps && !factor && !device)
        co_return co_await fail(exchange, 404, "not-found", false);

    if (sessions && request.method == "POST") {
        if (phase == Phase::draining) co_return co_await fail(exchange, 503, "shutting-down", false);
        co_return co_await sign_in(exchange, request, keep);
    }
    if (factor && request.method == "POST") co_return co_await serve_second_factor(exchange, request, *factor, keep);
    if (device && request.method == "POST") co_return co_await serve_device(exchange, request, *device, keep);
    if (posture && request.method == "PUT") co_return co_await serve_posture(exchange, request, keep);
    const bool known =
        (current && (request.method == "GET" || request.method == "DELETE")) || (apps && request.method == "GET");
    if (!known) {
        Response response = failure(405, "method-not-allowed");
        response.field("allow", sessions || factor || device ? "POST"
                                : current                    ? "GET, DELETE"
                                : posture                    ? "PUT"
                                                             : "GET");
        co_return co_await answer(exchange, std::move(response), false);
    }
    if (request.content_length != 0) co_return co_await fail(exchange, 400, "unexpected-body", false);
    exchange.clear_deadline();

    const auto subject = authenticate(exchange, request);
    if (!subject && current && request.method == "GET")
        co_return co_await answer(exchange, not_signed_in(services, request), keep);
    if (!subject) co_return co_await fail(exchange, 401, "not-signed-in", keep);
    if (apps) co_return co_await list_apps(exchange, *subject, keep);
    if (request.method == "GET") co_return co_await current_session(exchange, *subject, keep);

    const bool out = co_await sign_out(services, exchange.peer(), *subject);
    if (!out) co_return co_await fail(exchange, 503, "unavailable", keep);
    Response done(204);
    done.no_store();
    co_return co_await answer(exchange, std::move(done), keep);
}

}  // namespace usher::gateway
