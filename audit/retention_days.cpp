// Days that are dropped whole.

#include <algorithm>
#include <set>

#include "audit/retention_rows.hpp"
#include "audit/retention_store.hpp"

namespace usher::audit {

using base::Result;
using base::sql::Transaction;

namespace {

const ClassPlan* plan_of(const RetentionRun& run, RetentionClass retention_class) {
    for (const auto& count : run.counts)
        if (count.plan.retention_class == retention_class) return &count.plan;
    return nullptr;
}

/// The events of one type in a day.
struct Events {
    std::int64_t count = 0, last_at = 0;
};

/// What a day's records come to, if every one of them may go.
std::optional<RetentionStore::Removed> all_may_go(Transaction& tx, const RetentionRun& run, const Part& part) {
    std::map<RecordType, Events> events;
    for (const auto& row : tx.execute("SELECT type, COUNT(*), MAX(recorded_at) FROM " + part.events + " GROUP BY type"))
        events[static_cast<RecordType>(row.integer(0))] = {row.integer(1), row.integer(2)};
    // Each access has one OPENED and one CLOSED, and both are here: its last event is in its row, but a row that could
    // not be made says nothing.
    if (events[RecordType::access_opened].count != events[RecordType::access_closed].count) return std::nullopt;
    if (!tx.execute("SELECT 1 FROM " + part.accesses + " WHERE event IN ('OPENED', 'PROGRESS') LIMIT 1").empty())
        return std::nullopt;
    RetentionStore::Removed removed;
    for (const auto type : {RecordType::access_closed, RecordType::access_denied}) {
        const auto& seen = events[type];
        if (seen.count == 0) continue;
        const auto* plan = plan_of(run, class_of(type));
        if (plan == nullptr || !plan->cutoff || seen.last_at >= base::to_micros(*plan->cutoff)) return std::nullopt;
        removed[class_of(type)] = static_cast<std::uint64_t>(seen.count);
    }
    if (events[RecordType::access_progress].count > 0 && !removed.contains(RetentionClass::access)) return std::nullopt;
    return removed;
}

/// The same orders: a plan that was made with these holds knows what they keep.
bool same_holds(const std::vector<Hold>& a, const std::vector<Hold>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Hold& one, const Hold& other) { return one.same_order(other); });
}

}  // namespace

Result<std::vector<std::int64_t>> RetentionStore::days_to_drop(const RetentionRun& run) {
    std::set<std::int64_t> wanted, held;
    for (const auto& share : run.shares) {
        // A younger day has younger records, and those who write to it are not to wait for a look at them.
        const auto* plan = plan_of(run, class_of(share.type));
        if (!share.part.day || *share.part.day >= day_of(base::to_micros(*plan->cutoff))) continue;
        wanted.insert(*share.part.day);
        if (share.held > 0) held.insert(*share.part.day);
    }
    const auto* access = plan_of(run, RetentionClass::access);
    const auto* denial = plan_of(run, RetentionClass::denial);
    if (access != nullptr && denial != nullptr && access->cutoff && denial->cutoff) {
        // And those that are empty, where everything has been removed before.
        const std::int64_t end = day_of(base::to_micros(std::min(*access->cutoff, *denial->cutoff)));
        auto read = database_.read([&](Transaction& tx) -> Result<void> {
            for (const auto& part : parts_of(tx, database_.dialect(), RecordType::access_closed))
                if (part.day && *part.day < end) wanted.insert(*part.day);
            return {};
        });
        if (!read) return std::move(read).error();
    }
    std::vector<std::int64_t> out;
    std::set_difference(wanted.begin(), wanted.end(), held.begin(), held.end(), std::back_inserter(out));
    return out;
}

Result<std::optional<RetentionStore::Removed>> RetentionStore::drop_day(RetentionRun& run, std::int64_t day) {
    const Part part = part_of_day(day);
    std::optional<Removed> removed;
    auto done = database_.transaction([&](Transaction& tx) -> Result<void> {
        removed.reset();
        tx.execute("SET LOCAL lock_timeout = '2s'");
        // Before the transaction sees anything: what is written to the day from now on waits, and what was written
        // before is seen.
        tx.execute("LOCK TABLE " + part.events + ", " + part.accesses + " IN SHARE MODE");
        take_turn(tx);
        if (auto ok = keep_lease(tx, run); !ok) return ok;
        if (!same_holds(read_holds(tx), run.planned_with)) return {};
        removed = all_may_go(tx, run, part);
        if (!removed) return {};
        for (const auto& [retention_class, records] : *removed)
            tx.execute("UPDATE retention_run_counts SET removed = removed + $1 WHERE run = $2 AND retention_class = $3",
                       {static_cast<std::int64_t>(records), run.run, std::string(to_word(retention_class))});
        tx.execute(
            "DELETE FROM audit_days d WHERE day = $1 AND NOT EXISTS (SELECT 1 FROM audit_events_other e WHERE "
            "e.gateway_id = d.gateway_id AND e.recorded_at >= $2 AND e.recorded_at < $3)",
            {day, day * day_us, (day + 1) * day_us});
        tx.execute("DROP TABLE " + part.events);
        tx.execute("DROP TABLE " + part.accesses);
        return {};
    });
    if (!done) return std::move(done).error();
    if (removed) std::erase_if(run.shares, [&](const auto& share) { return share.part.day == day; });
    return removed;
}

}  // namespace usher::audit
