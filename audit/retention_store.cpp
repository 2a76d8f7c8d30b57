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
Rows expired(Transaction& tx, const Part& part, RecordType type, base::UtcTime cutoff, const Position& position,
             std::size_t limit, bool payloads) {
    return tx.execute(
        "SELECT recorded_at, gateway_id, sequence, access_id" + std::string(payloads ? ", payload" : "") + " FROM " +
            part.events +
            " WHERE type = $1 AND recorded_at < $2 AND recorded_at >= $3 AND (recorded_at > $3 OR "
            "gateway_id > $4 OR (gateway_id = $4 AND sequence > $5)) ORDER BY recorded_at, gateway_id, "
            "sequence LIMIT $6",
        std::initializer_list<Value>{static_cast<std::int64_t>(type), base::to_micros(cutoff), position.recorded_at,
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

std::string json_list(const std::vector<std::string>& ids) {
    std::string out = "[";
    for (const auto& id : ids) out += (out.size() > 1 ? ",\"" : "\"") + id + "\"";
    return out + "]";
}

/// The list is one bound value, whatever its length. Ids are UUIDs that were parsed.
void remove_accesses(Transaction& tx, base::sql::Dialect dialect, const Part& part,
                     const std::vector<std::string>& ids) {
    if (ids.empty()) return;
    const bool sqlite = dialect == base::sql::Dialect::sqlite;
    const std::string list = json_list(ids);
    const std::string listed = sqlite ? "access_id IN (SELECT value FROM json_each($1))"
                                      : "access_id IN (SELECT json_array_elements_text($1::json))";
    tx.execute("DELETE FROM " + part.accesses + " WHERE " + listed, {list});
    tx.execute("DELETE FROM " + part.events + " WHERE access_id <> '' AND " + listed, {list});
}

void remove_events(Transaction& tx, base::sql::Dialect dialect, const Part& part, const std::string& gateway,
                   const std::vector<std::int64_t>& sequences) {
    std::string list = "[";
    for (const auto sequence : sequences) list += (list.size() > 1 ? "," : "") + std::to_string(sequence);
    tx.execute("DELETE FROM " + part.events + " WHERE gateway_id = $1 AND sequence IN (SELECT " +
                   (dialect == base::sql::Dialect::sqlite ? "value FROM json_each($2))"
                                                          : "json_array_elements_text($2::json)::bigint)"),
               {gateway, list + "]"});
}

const ClassPlan* plan_of(const RetentionRun& run, RetentionClass retention_class) {
    for (const auto& count : run.counts)
        if (count.plan.retention_class == retention_class) return &count.plan;
    return nullptr;
}

}  // namespace

/// Adds to `share` what of it is past the cut-off.
Result<void> RetentionStore::plan_share(RetentionRun& run, RetentionRun::Share& share, ClassPlan& plan,
                                        const std::function<bool()>& stopping) {
    const auto& holds = run.planned_with;
    const auto found = [&](base::UtcTime at) {
        plan.oldest_removable = std::min(plan.oldest_removable.value_or(at), at);
    };
    if (holds.empty()) {
        return database_.read([&](Transaction& tx) -> Result<void> {
            share.removable = 0;
            const auto rows = tx.execute(
                "SELECT COUNT(*), MIN(recorded_at) FROM " + share.part.events + " WHERE type = $1 AND recorded_at < $2",
                {static_cast<std::int64_t>(share.type), base::to_micros(*plan.cutoff)});
            share.removable = static_cast<std::uint64_t>(rows.at(0).integer(0));
            if (share.removable > 0) found(base::from_micros(rows[0].integer(1)));
            return {};
        });
    }
    Position position;
    for (std::size_t page = plan_page; page == plan_page;) {
        if (stopping()) return {Errc::unavailable, "the gateway is stopping"};
        Rows rows;
        auto read = database_.read([&](Transaction& tx) -> Result<void> {
            rows = expired(tx, share.part, share.type, *plan.cutoff, position, plan_page, true);
            return {};
        });
        if (!read) return read;
        for (const auto& row : rows) {
            if (is_held(row, share.type, holds, [&](std::size_t hold) { ++run.holds[hold].records; })) {
                ++share.held;
            } else {
                ++share.removable;
                found(base::from_micros(row.integer(0)));
            }
        }
        page = rows.size();
        if (page > 0) move_behind(position, rows.back());
    }
    return {};
}

/// The volume of a class, from the parts that it lies in. A transaction each, so that locks do not add up.
Result<Volume> RetentionStore::volume(RetentionClass retention_class, const std::vector<RetentionRun::Share>& shares) {
    Volume volume;
    bool any = false;
    const auto look = [&](const RetentionRun::Share& share, const std::string& what, std::vector<Value> values,
                          auto take) -> Result<void> {
        return database_.read([&](Transaction& tx) -> Result<void> {
            values.insert(values.begin(), static_cast<std::int64_t>(share.type));
            take(tx.execute("SELECT " + what + " FROM " + share.part.events + " WHERE type = $1" +
                                (values.size() > 1 ? " AND recorded_at > $2" : ""),
                            values)
                     .at(0));
            return {};
        });
    };
    for (const auto& share : shares) {
        if (class_of(share.type) != retention_class) continue;
        auto seen = look(share, "MIN(recorded_at), MAX(recorded_at)", {}, [&](const Row& row) {
            if (row.is_null(0)) return;
            const auto oldest = base::from_micros(row.integer(0)), newest = base::from_micros(row.integer(1));
            volume.oldest = any ? std::min(volume.oldest, oldest) : oldest;
            volume.newest = any ? std::max(volume.newest, newest) : newest;
            any = true;
        });
        if (!seen) return std::move(seen).error();
    }
    if (!any) return volume;
    for (const auto& share : shares) {
        if (class_of(share.type) != retention_class) continue;
        std::uint64_t here = 0;
        auto counted = look(share, "COUNT(*)", {base::to_micros(volume.newest - Volume::window)},
                            [&](const Row& row) { here = static_cast<std::uint64_t>(row.integer(0)); });
        if (!counted) return std::move(counted).error();
        volume.records += here;
    }
    return volume;
}

Result<RetentionRun> RetentionStore::plan(base::UtcTime now, const std::function<bool()>& stopping) {
    RetentionRun run;
    run.started_at = now;
    std::vector<RetentionRun::Share> all;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        run.counts.clear();
        all.clear();
        for (const auto& stored : read_classes(tx)) {
            ClassPlan plan;
            plan.retention_class = stored.setting.retention_class;
            plan.cutoff = cutoff(stored.setting, now);
            run.counts.push_back({plan, 0});
        }
        for (const auto type : ends)
            for (auto& part : parts_of(tx, database_.dialect(), type)) all.push_back({type, std::move(part), 0, 0});
        run.planned_with = read_holds(tx);
        return {};
    });
    if (!read) return std::move(read).error();
    for (const auto& hold : run.planned_with) run.holds.push_back({hold.name, 0});

    for (auto& [plan, removed] : run.counts) {
        if (!plan.cutoff) continue;
        auto volume = this->volume(plan.retention_class, all);
        if (!volume) return std::move(volume).error();
        plan.expected_daily = expected_daily(*volume);
        for (auto& share : all) {
            if (class_of(share.type) != plan.retention_class) continue;
            if (stopping()) return {Errc::unavailable, "the gateway is stopping"};
            if (auto ok = plan_share(run, share, plan, stopping); !ok) return std::move(ok).error();
            plan.removable += share.removable;
            plan.held += share.held;
            if (share.removable + share.held > 0) run.shares.push_back(share);
        }
    }
    return run;
}

Result<void> RetentionStore::remove(const RetentionRun& run, std::size_t batch_records, Progress& progress) {
    Progress reached;
    auto done = database_.transaction([&](Transaction& tx) -> Result<void> {
        reached = progress;
        reached.removed = 0;
        while (reached.share < run.shares.size() && run.shares[reached.share].removable == 0) ++reached.share;
        if (reached.share == run.shares.size()) {
            reached.done = true;
            return {};
        }
        const auto& share = run.shares[reached.share];
        const ClassPlan* plan = plan_of(run, class_of(share.type));
        reached.retention_class = plan->retention_class;
        take_turn(tx);
        if (auto ok = keep_lease(tx, run); !ok) return ok;
        const auto holds = read_holds(tx);
        const auto rows = expired(tx, share.part, share.type, *plan->cutoff, reached, batch_records, !holds.empty());
        std::vector<std::string> accesses;
        std::map<std::string, std::vector<std::int64_t>> events;
        for (const auto& row : rows) {
            if (is_held(row, share.type, holds, [](std::size_t) {})) continue;
            ++reached.removed;
            if (base::Uuid::parse(row.text(3)))
                accesses.push_back(row.text(3));
            else
                events[row.text(1)].push_back(row.integer(2));
        }
        remove_accesses(tx, database_.dialect(), share.part, accesses);
        for (const auto& [gateway, sequences] : events)
            remove_events(tx, database_.dialect(), share.part, gateway, sequences);
        tx.execute("UPDATE retention_run_counts SET removed = removed + $1 WHERE run = $2 AND retention_class = $3",
                   {static_cast<std::int64_t>(reached.removed), run.run, std::string(to_word(plan->retention_class))});
        if (rows.size() == batch_records) {
            move_behind(reached, rows.back());
        } else {
            ++reached.share;
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
