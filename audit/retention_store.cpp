// What a run would remove, and its removal.

#include "audit/retention_store.hpp"

#include <algorithm>
#include <map>

#include "audit/retention_rows.hpp"
#include "base/ids.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Row;
using base::sql::Rows;
using base::sql::Transaction;
using base::sql::Value;

namespace {

/// The type of the event with which a record of a class is over: an access goes by its CLOSED, and takes its other
/// events along, so one that is open never goes.
constexpr RecordType ends[] = {RecordType::access_closed, RecordType::session, RecordType::admin, RecordType::system,
                               RecordType::access_denied};

constexpr std::size_t plan_page = 5000;

using Position = RetentionStore::Progress;

/// Ended before `cutoff`, behind `position`, oldest first. Payloads only where there are holds to ask about them.
Rows expired(Transaction& tx, RecordType type, base::UtcTime cutoff, const Position& position, std::size_t limit,
             bool payloads) {
    constexpr std::string_view keys =
        "SELECT recorded_at, gateway_id, sequence, access_id FROM audit_events WHERE type = $1 AND recorded_at < $2 "
        "AND recorded_at >= $3 AND (recorded_at > $3 OR gateway_id > $4 OR (gateway_id = $4 AND sequence > $5)) ORDER "
        "BY recorded_at, gateway_id, sequence LIMIT $6";
    constexpr std::string_view all =
        "SELECT recorded_at, gateway_id, sequence, access_id, payload FROM audit_events WHERE type = $1 AND "
        "recorded_at < $2 AND recorded_at >= $3 AND (recorded_at > $3 OR gateway_id > $4 OR (gateway_id = $4 AND "
        "sequence > $5)) ORDER BY recorded_at, gateway_id, sequence LIMIT $6";
    return tx.execute(payloads ? all : keys,
                      {static_cast<std::int64_t>(type), base::to_micros(cutoff), position.recorded_at,
                       position.gateway_id, position.sequence, static_cast<std::int64_t>(limit)});
}

void move_behind(Position& position, const Row& row) {
    position.recorded_at = row.integer(0);
    position.gateway_id = row.text(1);
    position.sequence = row.integer(2);
}

/// Which of `holds` keep the record of this row; all of them when it cannot be read.
template <class Kept>
bool is_held(const Row& row, RecordType type, const std::vector<Hold>& holds, Kept kept) {
    if (holds.empty()) return false;
    JournalRecord record;
    record.recorded_at = base::from_micros(row.integer(0));
    record.type = type;
    record.payload = row.blob(4);
    const auto facts = facts_of(record);
    bool held = false;
    for (std::size_t i = 0; i < holds.size(); ++i) {
        if (facts && !covers(holds[i], *facts)) continue;
        held = true;
        kept(i);
    }
    return held;
}

Volume volume_of(Transaction& tx, RetentionClass retention_class) {
    Volume volume;
    bool any = false;
    for (const auto type : ends) {
        if (class_of(type) != retention_class) continue;
        const auto rows = tx.execute("SELECT MIN(recorded_at), MAX(recorded_at) FROM audit_events WHERE type = $1",
                                     {static_cast<std::int64_t>(type)});
        if (rows.empty() || rows[0].is_null(0)) continue;
        const auto oldest = base::from_micros(rows[0].integer(0)), newest = base::from_micros(rows[0].integer(1));
        volume.oldest = any ? std::min(volume.oldest, oldest) : oldest;
        volume.newest = any ? std::max(volume.newest, newest) : newest;
        any = true;
    }
    if (!any) return volume;
    for (const auto type : ends) {
        if (class_of(type) != retention_class) continue;
        const auto rows =
            tx.execute("SELECT COUNT(*) FROM audit_events WHERE type = $1 AND recorded_at > $2",
                       {static_cast<std::int64_t>(type), base::to_micros(volume.newest - Volume::window)});
        volume.records += static_cast<std::uint64_t>(rows.at(0).integer(0));
    }
    return volume;
}

std::string json_list(const std::vector<std::string>& ids) {
    std::string out = "[";
    for (const auto& id : ids) out += (out.size() > 1 ? ",\"" : "\"") + id + "\"";
    return out + "]";
}

/// The list is one bound value, whatever its length. Ids are UUIDs that were parsed.
void remove_accesses(Transaction& tx, base::sql::Dialect dialect, const std::vector<std::string>& ids) {
    if (ids.empty()) return;
    const bool sqlite = dialect == base::sql::Dialect::sqlite;
    const std::string list = json_list(ids);
    tx.execute(sqlite ? "DELETE FROM accesses WHERE access_id IN (SELECT value FROM json_each($1))"
                      : "DELETE FROM accesses WHERE access_id IN (SELECT json_array_elements_text($1::json))",
               {list});
    tx.execute(sqlite ? "DELETE FROM audit_events WHERE access_id <> '' AND access_id IN (SELECT value FROM "
                        "json_each($1))"
                      : "DELETE FROM audit_events WHERE access_id <> '' AND access_id IN (SELECT "
                        "json_array_elements_text($1::json))",
               {list});
}

void remove_events(Transaction& tx, base::sql::Dialect dialect, const std::string& gateway,
                   const std::vector<std::int64_t>& sequences) {
    std::string list = "[";
    for (const auto sequence : sequences) list += (list.size() > 1 ? "," : "") + std::to_string(sequence);
    tx.execute(dialect == base::sql::Dialect::sqlite
                   ? "DELETE FROM audit_events WHERE gateway_id = $1 AND sequence IN (SELECT value FROM json_each($2))"
                   : "DELETE FROM audit_events WHERE gateway_id = $1 AND sequence IN (SELECT "
                     "json_array_elements_text($2::json)::bigint)",
               {gateway, list + "]"});
}

const ClassPlan* plan_of(const RetentionRun& run, RetentionClass retention_class) {
    for (const auto& count : run.counts)
        if (count.plan.retention_class == retention_class) return &count.plan;
    return nullptr;
}

}  // namespace

Result<RetentionRun> RetentionStore::plan(base::UtcTime now, const std::function<bool()>& stopping) {
    RetentionRun run;
    run.started_at = now;
    std::vector<Hold> holds;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        run.counts.clear();
        for (const auto& stored : read_classes(tx)) {
            ClassPlan plan;
            plan.retention_class = stored.setting.retention_class;
            plan.cutoff = cutoff(stored.setting, now);
            if (plan.cutoff) plan.expected_daily = expected_daily(volume_of(tx, plan.retention_class));
            run.counts.push_back({plan, 0});
        }
        holds = read_holds(tx);
        return {};
    });
    if (!read) return std::move(read).error();
    for (const auto& hold : holds) run.holds.push_back({hold.name, 0});

    for (auto& [plan, removed] : run.counts) {
        if (!plan.cutoff) continue;
        for (const auto type : ends) {
            if (class_of(type) != plan.retention_class) continue;
            Position position;
            for (std::size_t found = plan_page; found == plan_page;) {
                if (stopping()) return {Errc::unavailable, "the gateway is stopping"};
                Rows rows;
                read = database_.read([&](Transaction& tx) -> Result<void> {
                    rows = expired(tx, type, *plan.cutoff, position, plan_page, !holds.empty());
                    return {};
                });
                if (!read) return std::move(read).error();
                for (const auto& row : rows) {
                    if (is_held(row, type, holds, [&](std::size_t hold) { ++run.holds[hold].records; })) {
                        ++plan.held;
                        continue;
                    }
                    ++plan.removable;
                    const auto at = base::from_micros(row.integer(0));
                    plan.oldest_removable = std::min(plan.oldest_removable.value_or(at), at);
                }
                found = rows.size();
                if (found > 0) move_behind(position, rows.back());
            }
        }
    }
    return run;
}

Result<void> RetentionStore::remove(const RetentionRun& run, std::size_t batch_records, Progress& progress) {
    Progress reached;
    auto done = database_.transaction([&](Transaction& tx) -> Result<void> {
        reached = progress;
        reached.removed = 0;
        const ClassPlan* plan = nullptr;
        for (; reached.type < std::size(ends); ++reached.type) {
            plan = plan_of(run, class_of(ends[reached.type]));
            if (plan != nullptr && plan->cutoff && plan->removable > 0) break;
        }
        if (reached.type == std::size(ends)) {
            reached.done = true;
            return {};
        }
        const auto type = ends[reached.type];
        reached.retention_class = plan->retention_class;
        take_turn(tx);
        const auto holds = read_holds(tx);
        const auto rows = expired(tx, type, *plan->cutoff, reached, batch_records, !holds.empty());
        std::vector<std::string> accesses;
        std::map<std::string, std::vector<std::int64_t>> events;
        for (const auto& row : rows) {
            if (is_held(row, type, holds, [](std::size_t) {})) continue;
            ++reached.removed;
            if (base::Uuid::parse(row.text(3)))
                accesses.push_back(row.text(3));
            else
                events[row.text(1)].push_back(row.integer(2));
        }
        remove_accesses(tx, database_.dialect(), accesses);
        for (const auto& [gateway, sequences] : events) remove_events(tx, database_.dialect(), gateway, sequences);
        tx.execute("UPDATE retention_run_counts SET removed = removed + $1 WHERE run = $2 AND retention_class = $3",
                   {static_cast<std::int64_t>(reached.removed), run.run, std::string(to_word(plan->retention_class))});
        if (rows.size() == batch_records) {
            move_behind(reached, rows.back());
        } else {
            ++reached.type;
            reached.recorded_at = INT64_MIN;
            reached.gateway_id.clear();
            reached.sequence = 0;
        }
        return {};
    });
    if (done) progress = std::move(reached);
    return done;
}

}  // namespace usher::audit
