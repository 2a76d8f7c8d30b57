#include "gateway/sign_in.hpp"

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/proof.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using usher::v1::SessionRecord;

base::Result<SignInForm> read_sign_in_form(wire::http1::JsonObject object) {
    const auto bad = [](const char* token) { return base::Error{base::Errc::invalid_argument, token}; };
    SignInForm form;
    const std::string* username = object.member("username");
    if (username == nullptr || username->empty() || username->size() > 256) return bad("username-missing");
    form.username = *username;
    if (object.member("password") == nullptr) return bad("password-missing");
    form.password = object.take_secret("password");
    if (form.password.size() > auth::password_bytes_max) return bad("password-too-long");
    form.second_factor = object.take_secret("second_factor");
    if (form.second_factor.size() > second_factor_bytes_max) return bad("second-factor-too-long");
    for (const auto& [key, value] : object.members)
        if (key != "username" && key != "password") return bad("unknown-field");
    for (const auto& [name, members] : object.objects) {
        if (name != "device") return bad("unknown-field");
        for (const auto& [key, value] : members) {
            if (value.size() > 200 || !base::is_utf8(value) ||
                value.find_first_of(std::string("\0\n\r\x1b\x7f", 5)) != std::string::npos)
                return bad("device-field-invalid");
            if (key == "device_id")
                form.device.device_id = value;
            else if (key == "name")
                form.device.name = value;
            else if (key == "brand")
                form.device.brand = value;
            else if (key == "model")
                form.device.model = value;
            else if (key == "os")
                form.device.os = value;
            else if (key == "language")
                form.device.language = value;
            else
                return bad("unknown-device-field");
        }
    }
    return form;
}

asio::awaitable<SignInOutcome> sign_in(Services& services, Worker& worker, const Peer& peer, SignInForm form) {
    SignInOutcome outcome;
    // A name that cannot be an account's is throttled under one key: spelling variants must not each get a budget of
    // their own.
    const auto canonical = auth::canonical_username(form.username);
    const auto directory = services.directory.snapshot();
    Claim claim;
    claim.account = canonical ? directory->account_by_username(*canonical) : nullptr;
    claim.username = canonical.value_or("?");
    claim.password = std::move(form.password);
    claim.second_factor = std::move(form.second_factor);
    const auth::Account* account = claim.account;
    auto proof = co_await prove(services, worker, peer, claim);
    if (proof.status == 200) co_await use_proof(services, peer, claim, proof);
    outcome.status = proof.status;
    outcome.retry_after_seconds = proof.retry_after_seconds;
    if (proof.status == 401) {
        services.metrics.sign_ins_failed.Increment();
        SessionRecord record =
            session_record(SessionRecord::Event::SIGN_IN_FAILED, peer,
                           account != nullptr ? account->username : base::escape_for_terminal(form.username, 64));
        if (account != nullptr) record.set_account_id(account->id);
        *record.mutable_device() = to_proto(form.device);
        record.set_reason(proof.reason);
        if (!co_await record_durably(services, std::move(record))) outcome.status = 503;
    }
    if (proof.status != 200) co_return outcome;

    // The account as it was read before its hash: when it was disabled or got another password while the old one was
    // being hashed, the session is refused.
    auto create = [&services, as_read = *account, ip = peer.ip, device = form.device,
                   second_factor = proof.second_factor.has_value()] {
        return services.sessions.create(as_read, ip, device, second_factor);
    };
    auto created = co_await services.background.run<auth::Sessions::Created>(std::move(create));
    if (!created) {
        outcome.status = created.error().code == base::Errc::failed_precondition ? 401 : 503;
        if (outcome.status == 503)
            base::log_error("a session could not be created", {{"error", created.error().message}});
        co_return outcome;
    }
    SessionRecord record = session_record(SessionRecord::Event::SIGNED_IN, peer, account->username);
    record.set_account_id(account->id);
    record.set_session_id(created->session->id);
    record.set_second_factor(std::string(second_factor_word(proof)));
    *record.mutable_device() = to_proto(form.device);
    if (!co_await record_durably(services, std::move(record))) {
        // No session without its record either.
        auto take_back = [&services, id = created->session->id] {
            auto result = services.sessions.end(id, auth::SessionEnd::revoked, [] { return base::Result<void>(); });
            return result ? base::Result<bool>(true) : base::Result<bool>(result.error());
        };
        auto ended = co_await services.background.run<bool>(std::move(take_back));
        if (!ended) base::log_error("a session without record could not be ended", {{"error", ended.error().message}});
        outcome.status = 503;
        co_return outcome;
    }
    services.metrics.sign_ins_ok.Increment();
    outcome.status = 201;
    outcome.username = account->username;
    outcome.session = created->session;
    outcome.token = std::move(created->token);
    co_return outcome;
}

asio::awaitable<bool> sign_out(Services& services, const Peer& peer, const Gatekeeper::Subject& subject) {
    SessionRecord record = session_record(SessionRecord::Event::SIGNED_OUT, peer, subject.account->username);
    record.set_account_id(subject.account->id);
    record.set_session_id(subject.session->id);
    auto end = [&services, id = subject.session->id, bytes = audit::encode(record)] {
        auto result = services.sessions.end(id, auth::SessionEnd::signed_out, [&]() -> base::Result<void> {
            auto appended = services.journal.append_and_wait(bytes);
            if (!appended) return appended.error();
            return {};
        });
        services.enforce(id);
        if (!result && result.error().code != base::Errc::not_found) return base::Result<bool>(result.error());
        return base::Result<bool>(true);
    };
    auto ended = co_await services.background.run<bool>(std::move(end));
    if (!ended) base::log_error("a sign-out could not be completed", {{"error", ended.error().message}});
    co_return ended.ok();
}

}  // namespace usher::gateway
