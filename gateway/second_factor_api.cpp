#include "gateway/second_factor_api.hpp"

#include "audit/audit.hpp"
#include "auth/totp.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/api_answer.hpp"
#include "gateway/proof.hpp"
#include "gateway/sign_in.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using usher::v1::SessionRecord;

namespace {

using Subject = Gatekeeper::Subject;

constexpr std::string_view issuer = "Usher";
constexpr std::string_view not_proved = "not-proved";

struct Form {
    std::optional<base::Secret> password;
    base::Secret second_factor;
};

/// The two members that a request may have; which of them it must have is its own matter. nullopt: neither more nor
/// less is a form.
std::optional<Form> read(wire::http1::JsonObject object, SecondFactorRequest what) {
    const bool with_password = what == SecondFactorRequest::begin;
    Form form;
    if (with_password && object.member("password") == nullptr) return std::nullopt;
    if (!with_password && object.member("second_factor") == nullptr) return std::nullopt;
    if (with_password) form.password = object.take_secret("password");
    form.second_factor = object.take_secret("second_factor");
    if (!object.members.empty() || !object.objects.empty() || form.second_factor.size() > second_factor_bytes_max ||
        (form.password && form.password->size() > auth::password_bytes_max))
        return std::nullopt;
    return form;
}

/// Answers a claim that was not proved, which is on record before.
asio::awaitable<bool> refuse(Exchange& exchange, const Subject& subject, Proof proof, bool keep) {
    auto& services = exchange.worker().services();
    if (proof.status == 429) co_return co_await fail_throttled(exchange, proof.retry_after, keep);
    if (proof.status == 503) co_return co_await fail(exchange, 503, "unavailable", keep);
    services.metrics.sign_ins_failed.Increment();
    auto record = session_record(SessionRecord::Event::SECOND_FACTOR_FAILED, exchange.peer(), subject);
    record.set_reason(proof.reason);
    const bool durable = co_await record_durably(services, std::move(record));
    co_return co_await fail(exchange, durable ? 403 : 503, durable ? not_proved : "unavailable", keep);
}

/// Puts the moment into the session. False when it has ended, or the database is away.
asio::awaitable<bool> renew(Services& services, auth::SessionPtr session) {
    auto store = [&services, session] {
        auto renewed = services.sessions.renew_second_factor(*session);
        return renewed ? base::Result<bool>(true) : base::Result<bool>(renewed.error());
    };
    auto done = co_await services.background.run<bool>(std::move(store));
    if (!done) base::log_error("a second factor could not be put on its session", {{"error", done.error().message}});
    co_return done.ok();
}

asio::awaitable<bool> verify(Exchange& exchange, const Subject& subject, Claim claim, bool keep) {
    auto& services = exchange.worker().services();
    auto proof = co_await prove(services, exchange.worker(), exchange.peer(), claim);
    if (proof.status == 200) co_await use_proof(services, claim, proof);
    if (proof.status != 200) co_return co_await refuse(exchange, subject, std::move(proof), keep);
    auto record = session_record(SessionRecord::Event::SECOND_FACTOR_VERIFIED, exchange.peer(), subject);
    record.set_second_factor(std::string(second_factor_word(proof)));
    const bool durable = co_await record_durably(services, std::move(record));
    if (!durable || !co_await renew(services, subject.session))
        co_return co_await fail(exchange, 503, "unavailable", keep);
    const auto at = base::from_micros(subject.session->second_factor_us.load());
    co_return co_await answer(
        exchange, success("{\"second_factor_at\":" + base::json_quote(base::format_rfc3339(at)) + "}"), keep);
}

asio::awaitable<bool> begin(Exchange& exchange, const Subject& subject, Claim claim, bool keep) {
    auto& services = exchange.worker().services();
    auto proof = co_await prove(services, exchange.worker(), exchange.peer(), claim);
    if (proof.status == 200) co_await use_proof(services, claim, proof);
    if (proof.status != 200) co_return co_await refuse(exchange, subject, std::move(proof), keep);
    const auto made = services.second_factors.make(subject.account->id);
    auto store = [&services, id = subject.account->id, sealed = made.sealed] {
        auto begun = services.second_factors.begin(id, sealed);
        return begun ? base::Result<bool>(true) : base::Result<bool>(begun.error());
    };
    auto begun = co_await services.background.run<bool>(std::move(store));
    if (!begun) co_return co_await fail(exchange, 503, "unavailable", keep);
    const auto uri = auth::totp_uri(issuer, subject.account->username, made.seed);
    const auto secret = auth::base32_encode(made.seed.reveal());
    const auto until = services.clock.utc() + auth::enrolment_limit;
    std::string json;
    json.reserve(2048);  // one block, so that wiping it wipes every copy
    json.append("{\"uri\":\"").append(uri.reveal()).append("\",\"secret\":\"").append(secret.reveal());
    json.append("\",\"expires_at\":").append(base::json_quote(base::format_rfc3339(until))).append("}");
    auto response = success(json, 201);
    base::wipe(json);
    co_return co_await answer(exchange, std::move(response), keep);
}

asio::awaitable<bool> confirm(Exchange& exchange, const Subject& subject, Claim claim, bool keep) {
    auto& services = exchange.worker().services();
    const Peer peer = exchange.peer();
    Proof proof;
    if (!take_try(services, exchange.worker(), peer, claim, proof))
        co_return co_await refuse(exchange, subject, std::move(proof), keep);
    // Shared with the database's thread.
    const auto code = std::make_shared<const base::Secret>(std::move(claim.second_factor));
    using Codes = std::shared_ptr<const std::vector<base::Secret>>;
    auto enroll = [&services, code, id = subject.account->id, username = subject.account->username,
                   record =
                       audit::encode(session_record(SessionRecord::Event::SECOND_FACTOR_ENROLLED, peer, subject))] {
        auto proved = services.second_factors.proved(id, *code);
        if (!proved) return base::Result<Codes>(std::move(proved).error());
        if (!*proved) return base::Result<Codes>(Codes());
        const auto on_record = [&](const auth::Change&) -> base::Result<void> {
            auto appended = services.journal.append_and_wait(record);
            if (!appended) return appended.error();
            return {};
        };
        auto account = services.directory.enroll_second_factor(username, **proved, true, on_record);
        if (!account && account.error().code == base::Errc::failed_precondition) return base::Result<Codes>(Codes());
        if (!account) return base::Result<Codes>(std::move(account).error());
        auto codes = std::make_shared<const std::vector<base::Secret>>(std::move((*proved)->recovery_codes));
        return base::Result<Codes>(std::move(codes));
    };
    auto enrolled = co_await services.background.run<Codes>(std::move(enroll));
    if (!enrolled) {
        base::log_error("a second factor could not be enrolled", {{"error", enrolled.error().message}});
        give_back_try(services, claim, proof);
        co_return co_await fail(exchange, 503, "unavailable", keep);
    }
    if (!*enrolled) {
        proof.reason = "second-factor-wrong";
        co_return co_await refuse(exchange, subject, std::move(proof), keep);
    }
    try_succeeded(services, claim, proof);
    // Whether that succeeds or not: the codes can be shown only now.
    co_await renew(services, subject.session);
    std::string json;
    json.reserve(1024);  // as above
    json = "{\"recovery_codes\":[";
    for (const auto& recovery_code : **enrolled)
        json.append(json.back() == '[' ? "\"" : ",\"").append(recovery_code.reveal()).append("\"");
    json += "]}";
    auto response = success(json);
    base::wipe(json);
    co_return co_await answer(exchange, std::move(response), keep);
}

}  // namespace

std::optional<SecondFactorRequest> second_factor_request(std::string_view path) noexcept {
    if (path == "/.usher/v1/sessions/current/second-factor") return SecondFactorRequest::verify;
    if (path == "/.usher/v1/second-factor") return SecondFactorRequest::begin;
    if (path == "/.usher/v1/second-factor/confirm") return SecondFactorRequest::confirm;
    return std::nullopt;
}

asio::awaitable<bool> serve_second_factor(Exchange& exchange, wire::http1::Request& request, SecondFactorRequest what,
                                          bool keep) {
    auto& services = exchange.worker().services();
    const auto subject = authenticate(exchange, request);
    // The body was not read, so the connection ends.
    if (!subject) co_return co_await fail(exchange, 401, "not-signed-in", false);
    if (services.phase.load(std::memory_order_relaxed) == Phase::draining)
        co_return co_await fail(exchange, 503, "shutting-down", false);
    auto object = co_await read_form(exchange, request);
    if (!object) co_return false;
    auto form = read(std::move(*object), what);
    if (!form) co_return co_await fail(exchange, 400, "malformed-form", false);
    Claim claim{subject->account, subject->account->username, std::move(form->password),
                std::move(form->second_factor)};
    switch (what) {
        case SecondFactorRequest::verify:
            co_return co_await verify(exchange, *subject, std::move(claim), keep);
        case SecondFactorRequest::begin:
            co_return co_await begin(exchange, *subject, std::move(claim), keep);
        case SecondFactorRequest::confirm:
            break;
    }
    co_return co_await confirm(exchange, *subject, std::move(claim), keep);
}

}  // namespace usher::gateway
