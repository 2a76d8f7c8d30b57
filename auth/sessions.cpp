#include "auth/sessions.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "auth/device_rows.hpp"
#include "auth/ended_sessions.hpp"
#include "auth/session_rows.hpp"
#include "auth/session_table.hpp"
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
constexpr std::size_t batch_rows = 500;           ///< of one transaction of sweep()
constexpr std::size_t sweep_updates_max = 5'000;  ///< of one sweep(); the rest goes with the next
constexpr std::size_t walk_sessions = 1'024;      ///< looked at under one lock
constexpr base::Microseconds idle_look_ahead{10'000'000};

SessionTable::TokenHash hash_of(std::string_view token) noexcept {
    SessionTable::TokenHash hash;
    crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(token.data()), token.size());
    return hash;
}

using Ended = std::vector<SessionPtr>;

}  // namespace

struct Sessions::Impl {
    Impl(base::sql::Database& d, const base::Clock& c, SessionLimits l) : database(d), clock(c), limits(l) {}

    base::sql::Database& database;
    const base::Clock& clock;
    const SessionLimits limits;
    SessionTable table;
    EndedSessions past;
    std::atomic<std::size_t> reserved{0};  ///< live sessions and those being made
    std::function<void(const SessionPtr&, SessionEnd)> listener;

    // Beginning and ending the sessions of one account come one after another, database and memory together: whoever
    // ends them all has then really ended them all.
    std::array<std::mutex, 16> account_locks;

    std::mutex pending_mutex;
    /// Rows of sessions that are no more; with a moment: unless another gateway has seen it used since.
    std::map<std::string, std::optional<std::int64_t>> pending_deletes;

    std::mutex sweep_mutex;
    std::string flush_after;  ///< where the next flush of last_used goes on

    std::mutex& lock_of(std::string_view account_id) {
        return account_locks[std::hash<std::string_view>{}(account_id) % account_locks.size()];
    }

    void delete_later(const std::string& id) {
        std::lock_guard lock(pending_mutex);
        pending_deletes[id].reset();
    }

    /// Of a session that idled out, as far as is known here.
    void delete_later_if_unused(const Session& session) {
        std::lock_guard lock(pending_mutex);
        pending_deletes.try_emplace(session.id, session.last_used_us.load());
    }

    bool end_in_memory(const SessionPtr& session) {
        if (!table.end(session)) return false;
        reserved.fetch_sub(1);
        return true;
    }

    void notify(const Ended& gone, SessionEnd why) {
        for (const auto& session : gone) {
            past.remember(*session, why);
            if (listener) listener(session, why);
        }
    }

    base::MonoTime idle_limit(const Session& session) const noexcept {
        return base::MonoTime{base::Microseconds{session.last_used_mono_us.load(std::memory_order_relaxed)}} +
               limits.idle;
    }

    bool valid(const Session& session, base::MonoTime now) const noexcept {
        return !session.ended.load() && now < session.expires_mono && now < idle_limit(session);
    }

    void mark_used(const Session& session, base::MonoTime now) const noexcept {
        session.last_used_mono_us.store(now.time_since_epoch().count(), std::memory_order_relaxed);
        session.last_used_us.store(base::to_micros(clock.utc()), std::memory_order_relaxed);
    }

    void mark_second_factor(const Session& session, std::int64_t utc_us, base::MonoTime mono) const noexcept {
        // In this order: whoever sees that there is one sees its moment too.
        session.second_factor_mono_us.store(mono.time_since_epoch().count());
        session.second_factor_us.store(utc_us);
    }

    /// Puts a stored session onto this boot's clock. What the wall clock did meanwhile cannot be known, so times of the
    /// future count as now, and no limit grows beyond what is configured today.
    void place_in_time(Session& session) const {
        const auto now = clock.mono();
        const auto utc = clock.utc();
        const auto absolute = std::min(session.expires_at, session.created_at + limits.absolute) - utc;
        session.expires_mono = now + std::min(absolute, limits.absolute);
        const auto unused = std::max(base::Microseconds{0}, utc - base::from_micros(session.last_used_us.load()));
        session.last_used_mono_us = (now - unused).time_since_epoch().count();
        const auto proved = session.second_factor_us.load();
        const auto age = std::max(base::Microseconds{0}, utc - base::from_micros(proved));
        if (proved != 0) mark_second_factor(session, proved, now - age);
    }

    /// Takes a row in, unless it has expired. Returns whether it is live now.
    bool adopt(std::shared_ptr<Session> session) {
        place_in_time(*session);
        if (!valid(*session, clock.mono())) {
            delete_later_if_unused(*session);
            return false;
        }
        reserved.fetch_add(1);
        table.insert(session);
        return true;
    }

    /// The end of `ended`, whose lock is held and whose act is on record: rows first, then memory, in any case.
    Result<void> end_rows(Ended& ended, const std::function<void(Transaction&)>& erase) {
        auto deleted = database.transaction([&](Transaction& transaction) -> Result<void> {
            erase(transaction);
            return {};
        });
        if (!deleted) {
            for (const auto& session : ended) delete_later(session->id);
        }
        std::erase_if(ended, [&](const SessionPtr& session) { return !end_in_memory(session); });
        if (deleted) return {};
        return {
            deleted.error().code,
            "the session is cut on this gateway, but the database did not delete it (" + deleted.error().message +
                "); this is tried again every few seconds, and a restart before it succeeds would bring the session "
                "back"};
    }

    using Deletes = std::vector<std::pair<std::string, std::optional<std::int64_t>>>;
    Result<void> write_batch(const Deletes& deletes, const std::vector<std::pair<SessionPtr, std::int64_t>>& updates);

    using Stored = std::vector<std::shared_ptr<Session>>;
    /// No session begins or ends while these are held.
    std::vector<std::unique_lock<std::mutex>> lock_all();
    /// Takes rows in as they are in the database; the locks are held. Returns whether anything changed.
    bool take_over(Stored& stored);
};

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
    return Created{std::move(session), std::move(token)};
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
    return impl_->clock.utc() + (std::min(session.expires_mono, impl_->idle_limit(session)) - impl_->clock.mono());
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

Result<void> Sessions::Impl::write_batch(const Deletes& deletes,
                                         const std::vector<std::pair<SessionPtr, std::int64_t>>& updates) {
    auto written = database.transaction([&](Transaction& transaction) -> Result<void> {
        for (const auto& [id, unused_since] : deletes) {
            if (unused_since)
                rows::erase_unused_session(transaction, id, *unused_since);
            else
                rows::erase_session(transaction, id);
        }
        for (const auto& [session, used] : updates) rows::update_last_used(transaction, session->id, used);
        return {};
    });
    if (!written) return written;
    for (const auto& [session, used] : updates) session->stored_last_used_us = used;
    std::lock_guard lock(pending_mutex);
    for (const auto& item : deletes) {
        const auto found = pending_deletes.find(item.first);
        if (found != pending_deletes.end() && found->second == item.second) pending_deletes.erase(found);
    }
    return {};
}

Sessions::Swept Sessions::sweep() {
    Swept swept;
    const auto now = impl_->clock.mono();
    swept.database = impl_->database.dialect() == base::sql::Dialect::sqlite ? Result<void>{} : see_use(now);
    // In memory it expires whatever the database says.
    for (std::string after;;) {
        const auto page = impl_->table.page(after, walk_sessions);
        if (page.empty()) break;
        after = page.back()->id;
        for (const auto& session : page) {
            if (impl_->valid(*session, now) || !impl_->end_in_memory(session)) continue;
            if (now >= session->expires_mono)
                impl_->delete_later(session->id);
            else
                impl_->delete_later_if_unused(*session);
            swept.expired.push_back(session);
        }
    }
    impl_->notify(swept.expired, SessionEnd::expired);
    if (auto flushed = flush(); !flushed) swept.database = std::move(flushed);
    return swept;
}

Result<void> Sessions::see_use(base::MonoTime now) {
    const auto ahead = std::min(impl_->limits.idle / 4, idle_look_ahead);
    std::vector<SharedChange> idle;
    for (std::string after;;) {
        const auto page = impl_->table.page(after, walk_sessions);
        if (page.empty()) break;
        after = page.back()->id;
        for (const auto& session : page)
            if (now + ahead >= impl_->idle_limit(*session)) idle.push_back({ChangeKind::session_proved, session->id});
    }
    if (idle.empty()) return {};
    if (auto seen = refresh(idle); !seen) return seen.error();
    return {};
}

Result<void> Sessions::flush() {
    std::lock_guard sweeping(impl_->sweep_mutex);
    std::vector<std::pair<SessionPtr, std::int64_t>> used;
    std::vector<std::pair<SessionPtr, std::int64_t>> used_before_cursor;
    for (std::string after;;) {
        const auto page = impl_->table.page(after, walk_sessions);
        if (page.empty()) break;
        after = page.back()->id;
        for (const auto& session : page) {
            const auto last = session->last_used_us.load();
            if (last == session->stored_last_used_us.load()) continue;
            auto& list = session->id > impl_->flush_after ? used : used_before_cursor;
            if (list.size() < sweep_updates_max) list.emplace_back(session, last);
        }
    }

    // Those beyond the cursor come first, so that under any load each one has its turn.
    used.insert(used.end(), used_before_cursor.begin(), used_before_cursor.end());
    if (used.size() > sweep_updates_max) used.resize(sweep_updates_max);
    Impl::Deletes deletes;
    {
        std::lock_guard lock(impl_->pending_mutex);
        deletes.assign(impl_->pending_deletes.begin(), impl_->pending_deletes.end());
    }
    Result<void> written;
    for (std::size_t at = 0; at < deletes.size() && written; at += batch_rows) {
        const auto end = std::min(deletes.size(), at + batch_rows);
        written = impl_->write_batch(
            {deletes.begin() + static_cast<std::ptrdiff_t>(at), deletes.begin() + static_cast<std::ptrdiff_t>(end)},
            {});
    }
    for (std::size_t at = 0; at < used.size() && written; at += batch_rows) {
        const auto end = std::min(used.size(), at + batch_rows);
        written = impl_->write_batch(
            {}, {used.begin() + static_cast<std::ptrdiff_t>(at), used.begin() + static_cast<std::ptrdiff_t>(end)});
        if (written) impl_->flush_after = used[end - 1].first->id;
    }
    return written;
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

std::vector<std::unique_lock<std::mutex>> Sessions::Impl::lock_all() {
    std::vector<std::unique_lock<std::mutex>> locks;
    locks.reserve(account_locks.size());
    for (auto& mutex : account_locks) locks.emplace_back(mutex);
    return locks;
}

bool Sessions::Impl::take_over(Stored& stored) {
    bool changed = false;
    for (auto& row : stored) {
        const auto session = table.by_id(row->id);
        if (!session) {
            {
                std::lock_guard lock(pending_mutex);
                if (pending_deletes.count(row->id) != 0) continue;
            }
            changed = adopt(row) || changed;
            continue;
        }
        if (row->second_factor_us.load() > session->second_factor_us.load()) {
            place_in_time(*row);
            mark_second_factor(*session, row->second_factor_us.load(),
                               base::MonoTime{base::Microseconds{row->second_factor_mono_us.load()}});
            changed = true;
        }
        // Who sets it holds the account's lock until memory has it, so the row is never behind.
        const auto said = row->posture.get(), known = session->posture.get();
        if (said && (!known || *said != *known)) {
            session->posture.set(said);
            changed = true;
        }
        if (row->last_used_us.load() <= session->last_used_us.load()) continue;
        place_in_time(*row);
        session->last_used_mono_us = row->last_used_mono_us.load();
        session->last_used_us = row->last_used_us.load();
        session->stored_last_used_us = row->last_used_us.load();
    }
    return changed;
}

Result<bool> Sessions::refresh() {
    Ended gone;
    bool changed = false;
    {
        const auto locks = impl_->lock_all();
        Impl::Stored stored;
        auto read = impl_->database.read([&](Transaction& transaction) -> Result<void> {
            stored = rows::read_sessions(transaction);
            return {};
        });
        if (!read) return read.error();
        std::set<std::string> in_database;
        for (const auto& row : stored) in_database.insert(row->id);
        changed = impl_->take_over(stored);
        for (std::string after;;) {
            const auto page = impl_->table.page(after, walk_sessions);
            if (page.empty()) break;
            after = page.back()->id;
            for (const auto& session : page) {
                if (in_database.count(session->id) == 0 && impl_->end_in_memory(session)) gone.push_back(session);
            }
        }
    }
    impl_->notify(gone, SessionEnd::revoked);
    return changed || !gone.empty();
}

Result<bool> Sessions::refresh(const std::vector<SharedChange>& changes) {
    std::set<std::string> ids, accounts;
    for (const auto& change : changes) {
        // What this gateway has done itself is heard here too, and is no news.
        const bool known = impl_->table.by_id(change.id) != nullptr;
        if (change.kind == ChangeKind::sessions_of) accounts.insert(change.id);
        if (change.kind == ChangeKind::session_proved || (change.kind == ChangeKind::session_begun && !known) ||
            (change.kind == ChangeKind::session_ended && known))
            ids.insert(change.id);
    }
    if (ids.empty() && accounts.empty()) return false;
    if (ids.size() + accounts.size() > batch_rows) return refresh();
    Ended gone;
    bool changed = false;
    {
        const auto locks = impl_->lock_all();
        Impl::Stored stored;
        auto read = impl_->database.read([&](Transaction& transaction) -> Result<void> {
            stored = rows::read_sessions(transaction, ids, accounts);
            return {};
        });
        if (!read) return read.error();
        std::set<std::string> in_database;
        for (const auto& row : stored) in_database.insert(row->id);
        changed = impl_->take_over(stored);
        std::vector<SessionPtr> looked_at;
        for (const auto& id : ids)
            if (auto session = find(id)) looked_at.push_back(std::move(session));
        for (const auto& account : accounts)
            for (auto& session : impl_->table.of_account(account)) looked_at.push_back(std::move(session));
        for (const auto& session : looked_at)
            if (in_database.count(session->id) == 0 && impl_->end_in_memory(session)) gone.push_back(session);
    }
    impl_->notify(gone, SessionEnd::revoked);
    return changed || !gone.empty();
}

}  // namespace usher::auth
