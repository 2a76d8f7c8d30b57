#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/ended_sessions.hpp"
#include "auth/session_rows.hpp"
#include "auth/session_table.hpp"
#include "auth/sessions.hpp"

namespace usher::auth {

/// What the two halves of Sessions share: sessions.cpp, which begins, knows and ends them, and session_upkeep.cpp,
/// which keeps them and the database of one mind.
struct Sessions::Impl {
    using Ended = std::vector<SessionPtr>;

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
    base::Result<void> end_rows(Ended& ended, const std::function<void(base::sql::Transaction&)>& erase) {
        auto deleted = database.transaction([&](base::sql::Transaction& transaction) -> base::Result<void> {
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
    base::Result<void> write_batch(const Deletes& deletes,
                                   const std::vector<std::pair<SessionPtr, std::int64_t>>& updates);

    using Stored = std::vector<std::shared_ptr<Session>>;
    /// No session begins or ends while these are held.
    std::vector<std::unique_lock<std::mutex>> lock_all();
    /// Takes rows in as they are in the database; the locks are held. Returns whom that is about.
    Affected take_over(Stored& stored);
};

}  // namespace usher::auth
