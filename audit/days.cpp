#include "audit/days.hpp"

#include <algorithm>
#include <string>

#include "base/text.hpp"

namespace usher::audit {

using base::Result;
using base::sql::Dialect;
using base::sql::Transaction;

namespace {

constexpr std::int64_t days_ahead = 7;
/// 2020-01-01: before it there was no Usher, and a clock that says so is wrong.
constexpr std::int64_t day_first = 18'262;
/// Of strays in one call; the next one goes on.
constexpr std::int64_t stray_days_max = 60;
/// A table and its indexes take about eight locks; a server has 6,400 for all.
constexpr std::int64_t stretch_days = 16;

std::string date_of(std::int64_t day) {
    const std::string text = base::format_rfc3339(base::from_micros(day * day_us));
    return text.substr(0, 4) + text.substr(5, 2) + text.substr(8, 2);
}

std::vector<std::int64_t> days_there_are(Transaction& tx) {
    std::vector<std::int64_t> days;
    for (const auto& row :
         tx.execute("SELECT to_date(right(c.relname::text, 8), 'YYYYMMDD') - date '1970-01-01' AS day FROM "
                    "pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = "
                    "'audit_events_accesses'::regclass AND c.relname::text ~ '^audit_events_[0-9]{8}$' ORDER BY day"))
        days.push_back(row.integer(0));
    return days;
}

std::vector<std::int64_t> days_wanted(Transaction& tx, std::int64_t today) {
    std::vector<std::int64_t> wanted;
    for (std::int64_t day = today - 1; day <= today + days_ahead; ++day) wanted.push_back(day);
    for (const auto& row : tx.execute("SELECT DISTINCT started_at / 86400000000 AS day FROM audit_events_stray WHERE "
                                      "started_at >= $1 AND started_at < $2 ORDER BY day LIMIT $3",
                                      {day_first * day_us, (today - 1) * day_us, stray_days_max}))
        wanted.push_back(row.integer(0));
    return wanted;
}

}  // namespace

Part part_of_day(std::int64_t day) {
    const std::string date = date_of(day);
    return {"audit_events_" + date, "accesses_" + date, day};
}

std::vector<Part> parts_of(Transaction& tx, Dialect dialect, RecordType type) {
    if (dialect == Dialect::sqlite) return {{"audit_events", "accesses", std::nullopt}};
    const bool of_access = type == RecordType::access_opened || type == RecordType::access_progress ||
                           type == RecordType::access_closed || type == RecordType::access_denied;
    if (!of_access) return {{"audit_events_other", "accesses_stray", std::nullopt}};
    std::vector<Part> parts;
    for (const auto day : days_there_are(tx)) parts.push_back(part_of_day(day));
    parts.push_back({"audit_events_stray", "accesses_stray", std::nullopt});
    return parts;
}

std::vector<Stretch> stretches(Transaction& tx, Dialect dialect) {
    if (dialect == Dialect::sqlite) return {{INT64_MIN, INT64_MAX}};
    std::vector<Stretch> out;
    for (const auto& row : tx.execute("SELECT DISTINCT day FROM audit_days ORDER BY day")) {
        const std::int64_t from = row.integer(0) * day_us, until = from + day_us;
        if (!out.empty() && until - out.back().from <= stretch_days * day_us)
            out.back().until = until;
        else
            out.push_back({from, until});
    }
    return out;
}

void plan_by_values(Transaction& tx, Dialect dialect) {
    if (dialect == Dialect::postgresql) tx.execute("SET LOCAL plan_cache_mode = force_custom_plan");
}

Result<void> prepare_days(base::sql::Database& database, base::UtcTime now) {
    if (database.dialect() == Dialect::sqlite) return {};
    std::vector<std::int64_t> missing;
    auto looked = database.read([&](Transaction& tx) -> Result<void> {
        missing.clear();
        const auto there = days_there_are(tx);
        for (const auto day : days_wanted(tx, day_of(base::to_micros(now))))
            if (!std::binary_search(there.begin(), there.end(), day)) missing.push_back(day);
        return {};
    });
    if (!looked) return looked;
    for (const auto day : missing) {
        auto made = database.transaction([&](Transaction& tx) -> Result<void> {
            tx.execute("SET LOCAL lock_timeout = '2s'");
            tx.execute("SELECT make_audit_day($1)", {day});
            return {};
        });
        if (!made) return {made.error().code, "the tables of the day " + date_of(day) + ": " + made.error().message};
    }
    return {};
}

}  // namespace usher::audit
