// The stream of one gateway, read from the store.

#include <algorithm>

#include "audit/days.hpp"
#include "audit/store.hpp"
#include "audit/store_rows.hpp"

namespace usher::audit {

using base::Result;
using base::sql::Dialect;
using base::sql::Transaction;
using base::sql::Value;

namespace {

/// What was put aside is part of the stream: merges it into `events`, which are those behind `after`, and ends with a
/// record behind which there may be others.
void add_parked(Transaction& tx, const std::string& gateway, std::uint64_t after, std::size_t max_records,
                std::vector<JournalRecord>& events) {
    constexpr std::size_t parked_max = 100;
    const std::int64_t last = events.empty() ? INT64_MAX : static_cast<std::int64_t>(events.back().sequence);
    const auto rows = tx.execute(
        "SELECT sequence, type, recorded_at, access_id, payload FROM audit_parked WHERE gateway_id = $1 AND sequence > "
        "$2 AND sequence < $3 ORDER BY sequence LIMIT $4",
        {gateway, static_cast<std::int64_t>(after), last, static_cast<std::int64_t>(parked_max)});
    if (rows.empty()) return;
    for (const auto& row : rows) events.push_back(to_record(row));
    std::sort(events.begin(), events.end(), [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    if (rows.size() == parked_max) {
        const auto end = static_cast<std::uint64_t>(rows.back().integer(0));
        std::erase_if(events, [&](const auto& event) { return event.sequence > end; });
    }
    if (events.size() > max_records) events.resize(max_records);
}

/// Sequences (after, until), all of which were started in [from, to).
struct Reach {
    std::int64_t until = INT64_MAX;
    Stretch started{INT64_MIN, INT64_MAX};
};

/// Days whose sequences begin behind `after` that are read at once.
constexpr std::size_t days_ahead = 4;

/// Where the sequences behind `after` lie; nullopt when there are none. The days of accesses that lived long overlap:
/// all whose sequences have begun are in it, and some of the next ones.
std::optional<Reach> reach_of(Transaction& tx, Dialect dialect, const std::string& gateway, std::int64_t after) {
    Reach reach;
    if (dialect == Dialect::sqlite) return reach;
    std::size_t ahead = 0;
    bool any = false;
    for (const auto& row : tx.execute("SELECT day, first_sequence FROM audit_days WHERE gateway_id = $1 AND "
                                      "last_sequence > $2 ORDER BY first_sequence",
                                      {gateway, after})) {
        const std::int64_t from = row.integer(0) * day_us, first = row.integer(1);
        if (first > after + 1 && ++ahead > days_ahead) {
            reach.until = first;
            break;
        }
        reach.started.from = any ? std::min(reach.started.from, from) : from;
        reach.started.until = any ? std::max(reach.started.until, from + day_us) : from + day_us;
        any = true;
    }
    if (!any) return std::nullopt;
    return reach;
}

}  // namespace

Result<std::vector<JournalRecord>> Store::read_events(const base::Uuid& gateway, std::uint64_t after,
                                                      std::size_t max_records, std::size_t max_bytes) {
    const std::string id = gateway.to_string();
    std::vector<JournalRecord> out;
    auto result = database_.read([&](Transaction& tx) -> Result<void> {
        out.clear();
        plan_by_values(tx, database_.dialect());
        auto behind = static_cast<std::int64_t>(after);
        while (const auto reach = reach_of(tx, database_.dialect(), id, behind)) {
            // The sizes are summed up first, so that no more payloads are fetched than are wanted.
            const auto rows = tx.execute(
                "SELECT sequence, type, recorded_at, access_id, payload FROM audit_events WHERE gateway_id = $1 AND "
                "sequence > $2 AND started_at >= $6 AND started_at < $7 AND sequence <= (SELECT MAX(sequence) FROM "
                "(SELECT sequence, size, SUM(size) OVER (ORDER BY sequence) AS total FROM (SELECT sequence, "
                "LENGTH(payload) AS size FROM audit_events WHERE gateway_id = $1 AND sequence > $2 AND sequence < $5 "
                "AND started_at >= $6 AND started_at < $7 ORDER BY sequence LIMIT $3) AS sizes) AS sums WHERE total <= "
                "$4 OR total = size) ORDER BY sequence",
                {id, behind, static_cast<std::int64_t>(max_records),
                 static_cast<std::int64_t>(std::min<std::size_t>(max_bytes, INT64_MAX)), reach->until,
                 reach->started.from, reach->started.until});
            for (const auto& row : rows) out.push_back(to_record(row));
            // Empty: retention has removed what there was.
            if (!out.empty() || reach->until == INT64_MAX) break;
            behind = reach->until - 1;
        }
        add_parked(tx, id, after, max_records, out);
        return {};
    });
    if (!result) return result.error();
    return out;
}

Result<std::optional<std::uint64_t>> Store::sequence_before(const base::Uuid& gateway, base::UtcTime since) {
    std::vector<Stretch> all;
    auto result = database_.read([&](Transaction& tx) -> Result<void> {
        all = stretches(tx, database_.dialect());
        return {};
    });
    if (!result) return result.error();
    std::optional<std::uint64_t> found;
    // An access that was opened long ago may have an event of today.
    for (const auto& stretch : all) {
        std::optional<std::uint64_t> here;
        result = database_.read([&](Transaction& tx) -> Result<void> {
            here.reset();
            plan_by_values(tx, database_.dialect());
            const auto rows = tx.execute(
                "SELECT MIN(sequence) FROM audit_events WHERE gateway_id = $1 AND recorded_at >= $2 AND started_at >= "
                "$3 AND started_at < $4",
                {gateway.to_string(), base::to_micros(since), stretch.from, stretch.until});
            if (!rows.empty() && !rows[0].is_null(0)) here = static_cast<std::uint64_t>(rows[0].integer(0)) - 1;
            return {};
        });
        if (!result) return result.error();
        if (here) found = found ? std::min(*found, *here) : *here;
    }
    return found;
}

}  // namespace usher::audit
