// The runs that there were.

#include <algorithm>
#include <array>

#include "audit/retention_rows.hpp"
#include "base/text.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Transaction;
using base::sql::Value;

namespace {

using State = RetentionRun::State;
constexpr std::array stored_states{State::running, State::complete, State::stopped, State::interrupted, State::failed};

State state_of(const std::string& word) {
    for (const auto state : stored_states)
        if (to_word(state) == word) return state;
    throw base::sql::SqlError(Error{
        Errc::data_loss, "table retention_runs: '" + base::escape_for_terminal(word, 40) + "' is no state of a run"});
}

/// Microseconds since 1970 by the clock that all gateways of the database share.
std::string database_now(base::sql::Dialect dialect) {
    return dialect == base::sql::Dialect::sqlite ? "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"
                                                 : "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
}

/// Whether the lease of a run lives; $2 is how long one is given. One that lies further ahead than that, and as much
/// again for a clock that was set back a little, is over: else the lease of a gateway that is gone would live until a
/// clock that was set back by a year has caught up.
std::string lives(base::sql::Dialect dialect) {
    const auto now = database_now(dialect);
    return "(lease_until > " + now + " AND lease_until <= " + now + " + 2 * CAST($2 AS BIGINT))";
}

/// The gateway whose run is under way, if it is another one.
std::optional<std::string> alive_elsewhere(Transaction& tx, base::sql::Dialect dialect, const base::Uuid& gateway,
                                           base::Microseconds lease) {
    const auto rows =
        tx.execute("SELECT gateway_id FROM retention_runs WHERE state = 'running' AND gateway_id <> $1 AND " +
                       lives(dialect) + " LIMIT 1",
                   {gateway.to_string(), lease.count()});
    if (rows.empty()) return std::nullopt;
    return rows[0].text(0);
}

std::int64_t stored(std::uint64_t count) {
    return static_cast<std::int64_t>(std::min<std::uint64_t>(count, INT64_MAX));
}

}  // namespace

std::string_view to_word(State state) noexcept {
    switch (state) {
        case State::running:
            return "running";
        case State::complete:
            return "complete";
        case State::stopped:
            return "stopped";
        case State::interrupted:
            return "interrupted";
        case State::failed:
            return "failed";
        case State::preview:
            return "preview";
    }
    return "failed";
}

Result<void> RetentionStore::begin(RetentionRun& run) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        const bool running = run.state == State::running;
        if (running) {
            end_dead(tx, run.started_at);
            if (const auto other = alive_elsewhere(tx, database_.dialect(), gateway_, lease_))
                return {Errc::failed_precondition, under_way(*other)};
        }
        run.run = tx.execute("SELECT COALESCE(MAX(run), 0) + 1 FROM retention_runs").at(0).integer(0);
        tx.execute(
            "INSERT INTO retention_runs (run, state, requested_by, started_at, ended_at, reason, gateway_id, "
            "lease_until) VALUES ($1, $2, $3, $4, $5, $6, $7, " +
                database_now(database_.dialect()) + " + $8)",
            {run.run, std::string(to_word(run.state)), run.requested_by, base::to_micros(run.started_at),
             maybe(run.ended_at), run.reason, gateway_.to_string(), running ? lease_.count() : std::int64_t{0}});
        for (const auto& [plan, removed] : run.counts) {
            tx.execute(
                "INSERT INTO retention_run_counts (run, retention_class, cutoff, removable, held, removed, "
                "expected_daily) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                {run.run, std::string(to_word(plan.retention_class)), maybe(plan.cutoff), stored(plan.removable),
                 stored(plan.held), stored(removed), stored(plan.expected_daily)});
        }
        return {};
    });
}

Result<void> RetentionStore::end(const RetentionRun& run) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        tx.execute(
            "UPDATE retention_runs SET state = $1, ended_at = $2, reason = $3 WHERE run = $4 AND state = 'running'",
            {std::string(to_word(run.state)), maybe(run.ended_at), run.reason, run.run});
        return {};
    });
}

Result<void> RetentionStore::end_interrupted(base::UtcTime now) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        end_dead(tx, now);
        return {};
    });
}

void RetentionStore::end_dead(Transaction& tx, base::UtcTime now) const {
    tx.execute(
        "UPDATE retention_runs SET state = 'interrupted', ended_at = $3 WHERE state = 'running' AND (gateway_id = $1 "
        "OR NOT " +
            lives(database_.dialect()) + ")",
        {gateway_.to_string(), lease_.count(), base::to_micros(now)});
}

Result<void> RetentionStore::keep_lease(Transaction& tx, const RetentionRun& run) const {
    tx.execute("UPDATE retention_runs SET lease_until = " + database_now(database_.dialect()) +
                   " + $1 WHERE run = $2 AND state = 'running'",
               {lease_.count(), run.run});
    if (tx.changed_rows() == 1) return {};
    return {Errc::failed_precondition, "another gateway has taken the run for dead, since it had not gone on for long"};
}

Result<std::optional<std::string>> RetentionStore::running_elsewhere() {
    std::optional<std::string> found;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        found = alive_elsewhere(tx, database_.dialect(), gateway_, lease_);
        return {};
    });
    if (!read) return std::move(read).error();
    return found;
}

Result<std::vector<RetentionRun>> RetentionStore::runs(std::size_t limit) {
    std::vector<RetentionRun> out;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        out.clear();
        for (const auto& row : tx.execute("SELECT run, state, requested_by, started_at, ended_at, reason FROM "
                                          "retention_runs ORDER BY run DESC LIMIT $1",
                                          {static_cast<std::int64_t>(limit)})) {
            auto& run = out.emplace_back();
            run.run = row.integer(0);
            run.state = state_of(row.text(1));
            run.requested_by = row.text(2);
            run.started_at = base::from_micros(row.integer(3));
            run.ended_at = maybe_time(row, 4);
            run.reason = row.text(5);
            const auto counts = tx.execute(
                "SELECT retention_class, cutoff, removable, held, removed, expected_daily FROM retention_run_counts "
                "WHERE run = $1",
                {run.run});
            for (const auto each : retention_classes) {
                const auto found = std::find_if(counts.begin(), counts.end(),
                                                [&](const auto& count) { return count.text(0) == to_word(each); });
                if (found == counts.end()) continue;
                const auto number = [&](std::size_t column) {
                    return static_cast<std::uint64_t>(std::max<std::int64_t>(found->integer(column), 0));
                };
                run.counts.push_back({{each, maybe_time(*found, 1), number(2), number(3), number(5), {}}, number(4)});
            }
        }
        return {};
    });
    if (!read) return std::move(read).error();
    return out;
}

Result<bool> RetentionStore::ran_between(const std::string& requested_by, base::UtcTime after, base::UtcTime until) {
    bool found = false;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        found = tx.execute(
                      "SELECT COUNT(*) FROM retention_runs WHERE requested_by = $1 AND started_at > $2 AND "
                      "started_at <= $3 AND state IN ('complete', 'stopped')",
                      {requested_by, base::to_micros(after), base::to_micros(until)})
                    .at(0)
                    .integer(0) > 0;
        return {};
    });
    if (!read) return std::move(read).error();
    return found;
}

}  // namespace usher::audit
