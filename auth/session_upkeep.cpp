#include <algorithm>
#include <set>

#include "auth/sessions_impl.hpp"

namespace usher::auth {
namespace {

using base::Result;
using base::sql::Transaction;
using Ended = std::vector<SessionPtr>;

constexpr std::size_t batch_rows = 500;           ///< of one transaction of sweep()
constexpr std::size_t sweep_updates_max = 5'000;  ///< of one sweep(); the rest goes with the next
constexpr std::size_t walk_sessions = 1'024;      ///< looked at under one lock
constexpr base::Microseconds idle_look_ahead{10'000'000};

}  // namespace

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
    if (impl_->database.dialect() != base::sql::Dialect::sqlite) {
        auto seen = see_use(now);
        if (seen)
            swept.affected = std::move(*seen);
        else
            swept.database = seen.error();
    }
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
            swept.affected.sessions.push_back(session->id);
        }
    }
    impl_->notify(swept.expired, SessionEnd::expired);
    if (auto flushed = flush(); !flushed) swept.database = std::move(flushed);
    return swept;
}

Result<Affected> Sessions::see_use(base::MonoTime now) {
    const auto ahead = std::min(impl_->limits.idle / 4, idle_look_ahead);
    std::vector<SharedChange> idle;
    for (std::string after;;) {
        const auto page = impl_->table.page(after, walk_sessions);
        if (page.empty()) break;
        after = page.back()->id;
        for (const auto& session : page)
            if (now + ahead >= impl_->idle_limit(*session)) idle.push_back({ChangeKind::session_proved, session->id});
    }
    return refresh(idle);
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

std::vector<std::unique_lock<std::mutex>> Sessions::Impl::lock_all() {
    std::vector<std::unique_lock<std::mutex>> locks;
    locks.reserve(account_locks.size());
    for (auto& mutex : account_locks) locks.emplace_back(mutex);
    return locks;
}

Affected Sessions::Impl::take_over(Stored& stored) {
    Affected changed;
    for (auto& row : stored) {
        const auto session = table.by_id(row->id);
        if (!session) {
            {
                std::lock_guard lock(pending_mutex);
                if (pending_deletes.count(row->id) != 0) continue;
            }
            if (adopt(row)) changed.sessions.push_back(row->id);
            continue;
        }
        if (row->second_factor_us.load() > session->second_factor_us.load()) {
            place_in_time(*row);
            mark_second_factor(*session, row->second_factor_us.load(),
                               base::MonoTime{base::Microseconds{row->second_factor_mono_us.load()}});
            changed.sessions.push_back(row->id);
        }
        // Who sets it holds the account's lock until memory has it, so the row is never behind.
        const auto said = row->posture.get(), known = session->posture.get();
        if (said && (!known || *said != *known)) {
            session->posture.set(said);
            changed.sessions.push_back(row->id);
        }
        if (row->last_used_us.load() <= session->last_used_us.load()) continue;
        place_in_time(*row);
        session->last_used_mono_us = row->last_used_mono_us.load();
        session->last_used_us = row->last_used_us.load();
        session->stored_last_used_us = row->last_used_us.load();
    }
    return changed;
}

Result<Affected> Sessions::refresh() {
    Ended gone;
    Affected changed;
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
    for (const auto& session : gone) changed.sessions.push_back(session->id);
    impl_->notify(gone, SessionEnd::revoked);
    return changed;
}

Result<Affected> Sessions::refresh(const std::vector<SharedChange>& changes) {
    std::set<std::string> ids, accounts;
    for (const auto& change : changes) {
        // What this gateway has done itself is heard here too, and is no news.
        const bool known = impl_->table.by_id(change.id) != nullptr;
        if (change.kind == ChangeKind::sessions_of) accounts.insert(change.id);
        if (change.kind == ChangeKind::session_proved || (change.kind == ChangeKind::session_begun && !known) ||
            (change.kind == ChangeKind::session_ended && known))
            ids.insert(change.id);
    }
    if (ids.empty() && accounts.empty()) return Affected{};
    if (ids.size() + accounts.size() > batch_rows) return refresh();
    Ended gone;
    Affected changed;
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
    for (const auto& session : gone) changed.sessions.push_back(session->id);
    impl_->notify(gone, SessionEnd::revoked);
    return changed;
}

}  // namespace usher::auth
