#include "gateway/sign_in.hpp"

#include "audit/audit.hpp"
#include "auth/password_rules.hpp"
#include "auth/username.hpp"
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
    const bool changes = object.member("new_password") != nullptr;
    if (changes) form.new_password = object.take_secret("new_password");
    if (changes && form.new_password->size() > auth::password_bytes_max) return bad("new-password-too-long");
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

namespace {

/// Why this sign-in does not go on: the password has to be changed, or the new one is not good enough. Empty: it does.
std::string refused_password(const auth::Account& account, const Claim& claim,
                             const std::optional<base::Secret>& new_password) {
    if (!new_password) return account.must_change_password ? "password: has to be changed" : "";
    const auth::PasswordOwner owner{account.username, account.display_name, account.department, account.second_factor};
    if (auto ok = auth::check_new_password(*new_password, owner); !ok) return ok.error().message;
    return new_password->equals(claim.password->reveal()) ? "password: is the old one" : "";
}

/// Why whoever has proved to be `account` does not sign in on a connection of that key; empty when they do.
std::string refused_device(Services& services, const auth::Account& account, const Peer& peer) {
    if (!peer.device_key) return {};
    const auto devices = services.devices.snapshot();
    const auth::Device* device = devices->by_key(*peer.device_key);
    if (device == nullptr) return "device-unknown";
    if (device->account_id != account.id) return "device-of-another-account";
    if (services.cut_off.covers_device(*peer.device_key)) return "device-locked";
    return auth::may_sign_in(device->state) ? "" : "device-" + std::string(auth::to_word(device->state));
}

/// Hashes and sets the new password, on record, and ends the sessions that stand on the old one. Gives the account as
/// it is then; failed_precondition when it has changed meanwhile.
asio::awaitable<base::Result<auth::Account>> change_password(Services& services, Peer peer, auth::Account account,
                                                             std::shared_ptr<const base::Secret> password) {
    using Outcome = base::Result<auth::Account>;
    auto make_hash = [&services, password](auto done) {
        services.hashing.hash(base::Secret(password->reveal()), done);
    };
    auto hash = co_await await_callback<base::Result<std::string>>(std::move(make_hash));
    if (!hash) co_return std::move(hash).error();
    auto record = session_record(SessionRecord::Event::PASSWORD_CHANGED, peer, account.username);
    record.set_account_id(account.id);
    const auth::NewPassword next{std::move(*hash), auth::needs_second_factor(*password), false};
    auto store = [&services, next, account, bytes = audit::encode(record)]() -> Outcome {
        const auto on_record = [&](const auth::Change&) -> base::Result<void> {
            auto appended = services.journal.append_and_wait(bytes);
            if (!appended) return appended.error();
            return {};
        };
        auto changed = services.directory.set_password(account.username, next, on_record, account.updated_at);
        if (!changed) return std::move(changed).error();
        auto ended = services.sessions.end_account(account.id, auth::SessionEnd::revoked, {});
        services.enforce(Enforcement::of(auth::Affected::account(account.id)));
        if (!ended)
            base::log_error("sessions of an old password could not be ended", {{"error", ended.error().message}});
        return std::move(*changed);
    };
    co_return co_await services.background.run<auth::Account>(std::move(store));
}

/// The hash is made anew where it costs less than it should today. That this fails keeps nobody out.
asio::awaitable<void> renew_hash(Services& services, std::string account_id, std::string old_hash,
                                 base::Secret password) {
    if (!services.hashing.is_outdated(old_hash)) co_return;
    auto make_hash = [&services, password = std::move(password)](auto done) mutable {
        services.hashing.hash(std::move(password), done);
    };
    auto hash = co_await await_callback<base::Result<std::string>>(std::move(make_hash));
    if (!hash) co_return;
    auto store = [&services, account_id, old_hash, next = *hash] {
        auto stored = services.directory.rehash_password(account_id, old_hash, next);
        return stored ? base::Result<bool>(true) : base::Result<bool>(stored.error());
    };
    auto stored = co_await services.background.run<bool>(std::move(store));
    if (!stored) base::log_warning("a password could not be hashed anew", {{"error", stored.error().message}});
}

}  // namespace

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
    claim.signs_in = true;
    const auth::Account* account = claim.account;
    auto proof = co_await prove(services, worker, peer, claim);
    if (proof.status == 200) {
        // Before the code is used up, so that it is good for the next try.
        outcome.device_refused = refused_device(services, *account, peer);
        if (outcome.device_refused.empty())
            outcome.password_refused = refused_password(*account, claim, form.new_password);
        if (!outcome.device_refused.empty()) {
            give_back_try(services, claim, proof);
            proof.status = 403;
            proof.reason = outcome.device_refused.c_str();
        }
        if (!outcome.password_refused.empty()) {
            give_back_try(services, claim, proof);
            proof.status = form.new_password ? 422 : 403;
            proof.reason = form.new_password ? "password-refused" : "password-must-change";
        }
    }
    if (proof.status == 200) co_await use_proof(services, claim, proof);
    outcome.status = proof.status;
    outcome.retry_after = proof.retry_after;
    if (proof.reason != nullptr) {
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

    auth::Account current = *account;
    if (form.new_password) {
        auto next = std::make_shared<const base::Secret>(std::move(*form.new_password));
        auto changed = co_await change_password(services, peer, current, std::move(next));
        if (!changed) {
            outcome.status = changed.error().code == base::Errc::failed_precondition ? 401 : 503;
            if (outcome.status == 503)
                base::log_error("a password could not be changed", {{"error", changed.error().message}});
            co_return outcome;
        }
        current = std::move(*changed);
    } else {
        co_await renew_hash(services, current.id, proof.password_hash, std::move(*claim.password));
    }

    // The account as it was read before its hash: when it was disabled or got another password while the old one was
    // being hashed, the session is refused.
    auto create = [&services, as_read = current, ip = peer.ip, device = form.device,
                   second_factor = proof.second_factor.has_value(), key = peer.device_key] {
        auto made = services.sessions.create(as_read, ip, device, second_factor, key);
        if (made) services.enforce(Enforcement::of(made->displaced));
        return made;
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
        services.enforce({auth::Affected::session(id), id});
        if (!result && result.error().code != base::Errc::not_found) return base::Result<bool>(result.error());
        return base::Result<bool>(true);
    };
    auto ended = co_await services.background.run<bool>(std::move(end));
    if (!ended) base::log_error("a sign-out could not be completed", {{"error", ended.error().message}});
    co_return ended.ok();
}

}  // namespace usher::gateway
