#include "gateway/sign_in.hpp"

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using usher::v1::SessionRecord;

namespace {

SessionRecord session_record(SessionRecord::Event::Value event, const Peer& peer, const std::string& username) {
    SessionRecord record;
    record.set_event(event);
    record.set_username(username);
    record.set_client_ip(peer.ip);
    return record;
}

/// Appends and waits; false when it did not become durable.
asio::awaitable<bool> durable(Services& services, const SessionRecord& record) {
    auto append = [&services, bytes = audit::encode(record)](auto done) mutable {
        services.journal.append(std::move(bytes), done);
    };
    auto result = co_await await_callback<base::Result<std::uint64_t>>(std::move(append));
    co_return result.ok();
}

/// Whose tries an attempt counts against. Where the account is signed in already it has a budget of its own, so that a
/// stranger who tries passwords elsewhere cannot lock its owner out.
std::string sign_in_budget(Services& services, const Peer& peer, const auth::Account* account,
                           const std::string& username) {
    if (account == nullptr) return username;
    constexpr std::size_t looked_at = 100;
    for (const auto& session : services.sessions.list(account->id, "", looked_at))
        if (session->client_ip == peer.ip) return username + " at " + peer.ip;
    return username;
}

/// The word on record for an account that may do nothing now; nullptr when it may.
const char* standing_reason(auth::Standing standing) {
    switch (standing) {
        case auth::Standing::disabled:
            return "account-disabled";
        case auth::Standing::not_yet_valid:
            return "account-not-yet-valid";
        case auth::Standing::expired:
            return "account-expired";
        case auth::Standing::good:
            break;
    }
    return nullptr;
}

std::int64_t seconds_rounded_up(base::Microseconds d) { return (d.count() + 999'999) / 1'000'000; }

}  // namespace

base::Result<SignInForm> read_sign_in_form(wire::http1::JsonObject object) {
    const auto bad = [](const char* token) { return base::Error{base::Errc::invalid_argument, token}; };
    SignInForm form;
    const std::string* username = object.member("username");
    if (username == nullptr || username->empty() || username->size() > 256) return bad("username-missing");
    form.username = *username;
    if (object.member("password") == nullptr) return bad("password-missing");
    form.password = object.take_secret("password");
    if (form.password.size() > auth::password_bytes_max) return bad("password-too-long");
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
    const std::string username = canonical.value_or("?");
    const auto directory = services.directory.snapshot();
    const auth::Account* account = canonical ? directory->account_by_username(*canonical) : nullptr;
    const std::string budget = sign_in_budget(services, peer, account, username);
    const auto verdict = services.throttle.take(peer.ip, budget, services.clock.mono());
    if (!verdict.allowed) {
        worker.refuse_by_limit(peer, "sign_ins_per_minute");
        outcome.status = 429;
        outcome.retry_after_seconds = seconds_rounded_up(verdict.retry_after);
        co_return outcome;
    }

    // An unknown name costs the same look-up and the same hash as a known one.
    const std::string account_id = account != nullptr ? account->id : "00000000-0000-0000-0000-000000000000";
    auto read_hash = [&services, account_id] { return services.directory.password_hash(account_id); };
    auto hash = co_await services.background.run<std::string>(std::move(read_hash));
    if (!hash && hash.error().code != base::Errc::not_found) {
        services.throttle.give_back(peer.ip, budget, services.clock.mono());
        outcome.status = 503;
        co_return outcome;
    }
    auto verify = [&services, text = hash ? *hash : std::string(), password = std::move(form.password)](
                      auto done) mutable { services.hashing.verify(std::move(text), std::move(password), done); };
    auto matches = co_await await_callback<base::Result<bool>>(std::move(verify));
    if (!matches) {
        services.throttle.give_back(peer.ip, budget, services.clock.mono());
        services.metrics.limited("hashing-queue");
        outcome.status = 503;
        co_return outcome;
    }

    const char* reason = nullptr;
    if (account == nullptr)
        reason = "unknown-account";
    else if (!*matches)
        reason = "wrong-password";
    else
        reason = standing_reason(auth::standing(*account, services.clock.utc()));
    if (reason != nullptr) {
        services.metrics.sign_ins_failed.Increment();
        SessionRecord record =
            session_record(SessionRecord::Event::SIGN_IN_FAILED, peer,
                           account != nullptr ? account->username : base::escape_for_terminal(form.username, 64));
        if (account != nullptr) record.set_account_id(account->id);
        *record.mutable_device() = to_proto(form.device);
        record.set_reason(reason);
        if (!co_await durable(services, record)) outcome.status = 503;
        co_return outcome;
    }

    services.throttle.give_back(peer.ip, budget, services.clock.mono());
    // The account as it was read before its hash: when it was disabled or got another password while the old one was
    // being hashed, the session is refused.
    auto create = [&services, as_read = *account, ip = peer.ip, device = form.device] {
        return services.sessions.create(as_read, ip, device);
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
    *record.mutable_device() = to_proto(form.device);
    if (!co_await durable(services, record)) {
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
