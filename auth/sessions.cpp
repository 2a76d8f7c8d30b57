#include <sodium.h>

#include "auth/device_rows.hpp"
#include "auth/sessions_impl.hpp"
#include "auth/validate.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Transaction;

constexpr std::size_t token_bytes = 32;
constexpr std::size_t token_chars = 43;

SessionTable::TokenHash hash_of(std::string_view token) noexcept {
    SessionTable::TokenHash hash;
    crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(token.data()), token.size());
    return hash;
}

using Ended = std::vector<SessionPtr>;

}  // namespace

Sessions::Sessions() = default;
Sessions::~Sessions() = default;

Result<std::unique_ptr<Sessions>> Sessions::open(base::sql::Database& database, const base::Clock& clock,
                                                 SessionLimits limits) {
    if (sodium_init() < 0) return {Errc::internal, "libsodium could not be initialised"};
    std::unique_ptr<Sessions> sessions(new Sessions);
    sessions->impl_ = std::make_unique<Impl>(database, clock, limits);
    std::vector<std::shared_ptr<Session>> stored;
    auto read = database.read([&](Transaction& transaction) -> Result<void> {
        stored = rows::read_sessions(transaction);
        return {};
    });
    if (!read) return read.error();
    for (auto& session : stored) sessions->impl_->adopt(std::move(session));
    return sessions;
}

void Sessions::set_listener(std::function<void(const SessionPtr&, SessionEnd)> on_end) {
    impl_->listener = std::move(on_end);
}

Result<Sessions::Created> Sessions::create(const Account& account, std::string_view client_ip, DeviceClaims device,
                                           bool second_factor, const std::optional<DeviceKeyHash>& device_key) {
    if (auto ok = check_device(device); !ok) return ok.error();
    if (auto ok = check_text("client_ip", client_ip); !ok) return ok.error();

    std::array<std::uint8_t, token_bytes> random;
    base::random_bytes(random);
    base::Secret token(base::base64url_encode(random));
    sodium_memzero(random.data(), random.size());

    auto session = std::make_shared<Session>();
    session->id = base::new_uuid(impl_->clock).to_string();
    session->account_id = account.id;
    session->client_ip = std::string(client_ip);
    session->device = std::move(device);
    session->device_key = device_key;
    session->token_sha256 = hash_of(token.reveal());

    Ended displaced;
    {
        std::lock_guard lock(impl_->lock_of(account.id));
        if (impl_->reserved.fetch_add(1) >= impl_->limits.total) {
            impl_->reserved.fetch_sub(1);
            return {Errc::resource_exhausted,
                    "there are " + std::to_string(impl_->limits.total) + " sessions already; no more are opened"};
        }
        session->created_at = impl_->clock.utc();
        session->expires_at = session->created_at + impl_->limits.absolute;
        session->expires_mono = impl_->clock.mono() + impl_->limits.absolute;
        impl_->mark_used(*session, impl_->clock.mono());
        session->stored_last_used_us = session->last_used_us.load();
        if (second_factor)
            impl_->mark_second_factor(*session, base::to_micros(session->created_at), impl_->clock.mono());

        displaced = impl_->table.of_account(account.id);
        const auto others_max = std::max<std::size_t>(impl_->limits.per_account, 1) - 1;
        displaced.resize(displaced.size() > others_max ? displaced.size() - others_max : 0);
        auto stored = impl_->database.transaction([&](Transaction& transaction) -> Result<void> {
            if (!rows::is_current(transaction, account)) {
                return {Errc::failed_precondition,
                        "account '" + account.username + "' is gone, disabled or has changed during the sign-in"};
            }
            if (device_key && !rows::device_may_sign_in(transaction, account.id, *device_key))
                return {Errc::failed_precondition, "the device may not sign in any more"};
            if (device_key) rows::update_last_seen(transaction, *device_key, session->created_at);
            rows::insert(transaction, *session);
            for (const auto& old : displaced) rows::erase_session(transaction, old->id);
            return {};
        });
        if (!stored) {
            impl_->reserved.fetch_sub(1);
            // The commit may have gone through without an answer; nobody has the token of that row.
            if (stored.error().code == Errc::unavailable) impl_->delete_later(session->id);
            return stored.error();
        }
        std::erase_if(displaced, [&](const SessionPtr& old) { return !impl_->end_in_memory(old); });
        impl_->table.insert(session);
    }
    impl_->notify(displaced, SessionEnd::displaced);
    Created created{std::move(session), std::move(token), {}};
    for (const auto& old : displaced) created.displaced.sessions.push_back(old->id);
    return created;
}

SessionPtr Sessions::authenticate(std::string_view token) noexcept {
    // The same work for every text, right or wrong.
    std::array<char, token_chars> text{};
    token.copy(text.data(), text.size());
    auto session = impl_->table.by_token(hash_of({text.data(), text.size()}));
    sodium_memzero(text.data(), text.size());
    const auto now = impl_->clock.mono();
    if (!session || token.size() != token_chars || !impl_->valid(*session, now)) return nullptr;
    impl_->mark_used(*session, now);
    return session;
}

std::optional<EndedSession> Sessions::ended(std::string_view token) const {
    if (token.size() != token_chars) return std::nullopt;
    return impl_->past.find(hash_of(token));
}

void Sessions::touch(const Session& session) noexcept {
    const auto now = impl_->clock.mono();
    // A session that has idled out is not brought back by late traffic.
    if (impl_->valid(session, now)) impl_->mark_used(session, now);
}

Result<void> Sessions::renew_second_factor(const Session& session) {
    std::lock_guard lock(impl_->lock_of(session.account_id));
    const Error ended{Errc::not_found, "the session has ended"};
    if (!valid(session)) return ended;
    const auto now = base::to_micros(impl_->clock.utc());
    const auto mono = impl_->clock.mono();
    auto stored = impl_->database.transaction([&](Transaction& transaction) -> Result<void> {
        if (!rows::update_second_factor(transaction, session.id, now)) return ended;
        return {};
    });
    if (!stored) return stored;
    impl_->mark_second_factor(session, now, mono);
    return {};
}

Result<bool> Sessions::set_posture(const Session& session, Posture posture,
                                   const std::function<Result<void>()>& record) {
    std::lock_guard lock(impl_->lock_of(session.account_id));
    const Error ended{Errc::not_found, "the session has ended"};
    if (!valid(session)) return ended;
    auto stored = impl_->database.transaction([&](Transaction& transaction) -> Result<void> {
        // Memory may be behind what was said at another gateway.
        const auto known = rows::read_posture(transaction, session.id);
        if (!known) return ended;
        if (*known && **known == posture) return {};
        if (record) {
            if (auto ok = record(); !ok) return ok;
        }
        if (!rows::update_posture(transaction, session.id, posture)) return ended;
        return {};
    });
    if (!stored) return stored.error();
    const auto before = session.posture.get();
    if (before && *before == posture) return false;
    session.posture.set(std::make_shared<const Posture>(std::move(posture)));
    return true;
}

std::optional<base::Microseconds> Sessions::second_factor_age(const Session& session) const noexcept {
    if (session.second_factor_us.load() == 0) return std::nullopt;
    const base::MonoTime proved{base::Microseconds{session.second_factor_mono_us.load()}};
    return std::max(base::Microseconds{0}, impl_->clock.mono() - proved);
}

base::Microseconds Sessions::age(const Session& session) const noexcept {
    return std::max(base::Microseconds{0}, impl_->limits.absolute - (session.expires_mono - impl_->clock.mono()));
}

bool Sessions::valid(const Session& session) const noexcept { return impl_->valid(session, impl_->clock.mono()); }

base::UtcTime Sessions::expires_at(const Session& session) const noexcept {
    return impl_->clock.utc() + (ends_at(session) - impl_->clock.mono());
}

base::MonoTime Sessions::ends_at(const Session& session) const noexcept {
    return std::min(session.expires_mono, impl_->idle_limit(session));
}

Result<void> Sessions::end(std::string_view session_id, SessionEnd why, const std::function<Result<void>()>& record) {
    const auto not_found = [&] {
        return Error{Errc::not_found, "session '" + base::escape_for_terminal(session_id, 100) + "' does not exist"};
    };
    const auto session = find(session_id);
    if (!session) return not_found();
    Ended ended{session};
    Result<void> outcome;
    {
        std::lock_guard lock(impl_->lock_of(session->account_id));
        if (session->ended.load()) return not_found();
        if (record) {
            if (auto ok = record(); !ok) return ok;
        }
        outcome = impl_->end_rows(ended, [&](Transaction& t) { rows::erase_session(t, session->id); });
    }
    impl_->notify(ended, why);
    return outcome;
}

Result<std::uint64_t> Sessions::end_account(std::string_view account_id, SessionEnd why,
                                            const std::function<Result<void>()>& record,
                                            std::optional<base::UtcTime> made_until) {
    const std::string account(account_id);
    Ended ended;
    Result<void> outcome;
    {
        std::lock_guard lock(impl_->lock_of(account));
        if (record) {
            if (auto ok = record(); !ok) return ok.error();
        }
        ended = impl_->table.of_account(account);
        if (made_until)
            std::erase_if(ended, [&](const SessionPtr& session) { return session->created_at > *made_until; });
        outcome = impl_->end_rows(ended, [&](Transaction& t) { rows::erase_sessions_of(t, account, made_until); });
    }
    impl_->notify(ended, why);
    if (!outcome) return outcome.error();
    return static_cast<std::uint64_t>(ended.size());
}

Result<void> Sessions::erase(std::string_view session_id) {
    const std::string id(session_id);
    // First, so that refresh() does not bring it back, and sweep() tries again what fails here.
    impl_->delete_later(id);
    return impl_->write_batch({{id, std::nullopt}}, {});
}

Result<std::uint64_t> Sessions::end_device(std::string_view account_id, const DeviceKeyHash& device_key,
                                           SessionEnd why) {
    const std::string account(account_id);
    Ended ended;
    Result<void> outcome;
    {
        std::lock_guard lock(impl_->lock_of(account));
        ended = impl_->table.of_account(account);
        std::erase_if(ended, [&](const SessionPtr& session) { return session->device_key != device_key; });
        outcome =
            impl_->end_rows(ended, [&](Transaction& t) { rows::erase_sessions_of_device(t, account, device_key); });
    }
    impl_->notify(ended, why);
    if (!outcome) return outcome.error();
    return static_cast<std::uint64_t>(ended.size());
}

bool Sessions::signed_in_from(const std::string& account_id, std::string_view client_ip) const {
    return impl_->table.has(account_id, client_ip);
}

SessionPtr Sessions::find(std::string_view session_id) const { return impl_->table.by_id(session_id); }

std::vector<SessionPtr> Sessions::list(std::string_view account_id, std::string_view after_id,
                                       std::size_t limit) const {
    if (account_id.empty()) return impl_->table.page(after_id, limit);
    auto sessions = impl_->table.of_account(std::string(account_id));
    std::erase_if(sessions, [&](const SessionPtr& session) { return session->id <= after_id; });
    std::sort(sessions.begin(), sessions.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
    if (sessions.size() > limit) sessions.resize(limit);
    return sessions;
}

bool Sessions::end_here(std::string_view session_id, SessionEnd why) {
    const auto session = find(session_id);
    if (!session) return false;
    // Before it ends: refresh() must not bring the row back.
    impl_->delete_later(session->id);
    if (!impl_->end_in_memory(session)) return false;
    impl_->notify({session}, why);
    return true;
}

}  // namespace usher::auth
