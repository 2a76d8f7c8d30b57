#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "audit/journal/journal.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"

/// The days into which PostgreSQL's tables of accesses are cut (decisions/0027). An access lies in the day on which it
/// was opened: its row in accesses_YYYYMMDD, all of its events in audit_events_YYYYMMDD, whenever they came. What has
/// no day of its own lies in accesses_stray and audit_events_stray; the events that belong to no access in
/// audit_events_other. On SQLite each table is whole.
namespace usher::audit {

constexpr std::int64_t day_us = 86'400'000'000;

/// Days since 1970 in UTC, rounded down.
constexpr std::int64_t day_of(std::int64_t micros) noexcept { return micros / day_us - (micros % day_us < 0 ? 1 : 0); }

/// The tables that a record and all of its kin lie in.
struct Part {
    std::string events, accesses;     ///< names; safe in a statement: letters, digits and "_"
    std::optional<std::int64_t> day;  ///< one that can be dropped
    friend bool operator==(const Part&, const Part&) = default;
};

Part part_of_day(std::int64_t day);

/// Where records of `type` lie, the oldest day first, the strays last. Throws SqlError.
std::vector<Part> parts_of(base::sql::Transaction& tx, base::sql::Dialect dialect, RecordType type);

/// A stretch of time in which accesses were opened, [from, until), in microseconds since 1970.
struct Stretch {
    std::int64_t from = 0, until = 0;
};
/// Stretches without common moments that together hold all that the store has, the oldest first; on PostgreSQL each of
/// so few days that a query within it locks few tables, on SQLite one of all time. Throws SqlError.
std::vector<Stretch> stretches(base::sql::Transaction& tx, base::sql::Dialect dialect);

/// To be called at the beginning of a transaction that reads by stretches: its statements are planned for the values
/// that they have, so that the tables of other days are not even locked.
void plan_by_values(base::sql::Transaction& tx, base::sql::Dialect dialect);

/// Makes the days from yesterday to a week ahead that are missing, and those of strays up to then, each in a
/// transaction that waits for no lock longer than 2 s. Nothing to do on SQLite. Until it has succeeded, what has no day
/// is kept among the strays: no insert fails for it.
base::Result<void> prepare_days(base::sql::Database& database, base::UtcTime now);

}  // namespace usher::audit
