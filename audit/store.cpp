#include "audit/store.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "audit/store_rows.hpp"

namespace usher::audit {

using base::sql::Transaction;

namespace {

/// The latest event of each access of a batch: most are opened and closed within one, and a row is written once.
using LatestEvents = std::unordered_map<base::Uuid, const JournalRecord*>;

/// Makes the row of `latest`, or of the last event before it that can be read.
void upsert_latest(Transaction& tx, const std::string& gateway, std::span<const JournalRecord> batch,
                   const JournalRecord* latest) {
    const base::Uuid access = latest->access_id;
    for (auto index = static_cast<std::size_t>(latest - batch.data()) + 1; index-- > 0;) {
        const JournalRecord& record = batch[index];
        if (is_access(record.type) && record.access_id == access && upsert_access(tx, gateway, record)) return;
    }
}

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

}  // namespace

base::Result<std::uint64_t> Store::watermark(const base::Uuid& gateway) {
    std::uint64_t found = 0;
    auto result = database_.read([&](Transaction& tx) -> base::Result<void> {
        const auto rows =
            tx.execute("SELECT shipped_sequence FROM audit_shipping WHERE gateway_id = $1", {gateway.to_string()});
        found = rows.empty() ? 0 : static_cast<std::uint64_t>(rows[0].integer(0));
        return {};
    });
    if (!result) return result.error();
    return found;
}

base::Result<void> Store::ingest(const base::Uuid& gateway, std::span<const JournalRecord> records) {
    if (records.empty()) return {};
    return database_.transaction([&](Transaction& tx) -> base::Result<void> {
        const std::string id = gateway.to_string();
        std::uint64_t shipped = lock_watermark(tx, id);
        LatestEvents latest;
        for (const auto& record : records) {
            // The watermark, not the keys alone, decides what is a replay: retention may have removed the rows since.
            if (record.sequence <= shipped) continue;
            if (record.sequence != shipped + 1) return missing_before(id, shipped, record.sequence);
            insert_event(tx, id, record);
            if (is_access(record.type)) latest[record.access_id] = &record;
            shipped = record.sequence;
        }
        // In the order of their ids, which is nearly that of the rows there are.
        std::vector<const JournalRecord*> rows;
        rows.reserve(latest.size());
        for (const auto& [access_id, record] : latest) rows.push_back(record);
        std::sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) { return a->access_id < b->access_id; });
        for (const auto* record : rows) upsert_latest(tx, id, records, record);
        move_watermark(tx, id, shipped);
        return {};
    });
}

base::Result<std::vector<JournalRecord>> Store::read_events(const base::Uuid& gateway, std::uint64_t after,
                                                            std::size_t max_records, std::size_t max_bytes) {
    std::vector<JournalRecord> out;
    auto result = database_.read([&](Transaction& tx) -> base::Result<void> {
        out.clear();
        // The sizes are summed up first, so that no more payloads are fetched than are wanted.
        const auto rows = tx.execute(
            "SELECT sequence, type, recorded_at, access_id, payload FROM audit_events WHERE gateway_id = $1 AND "
            "sequence > $2 AND sequence <= (SELECT MAX(sequence) FROM (SELECT sequence, size, SUM(size) OVER (ORDER BY "
            "sequence) AS total FROM (SELECT sequence, LENGTH(payload) AS size FROM audit_events WHERE gateway_id = $1 "
            "AND sequence > $2 ORDER BY sequence LIMIT $3) AS sizes) AS sums WHERE total <= $4 OR total = size) "
            "ORDER BY sequence",
            {gateway.to_string(), static_cast<std::int64_t>(after), static_cast<std::int64_t>(max_records),
             static_cast<std::int64_t>(std::min<std::size_t>(max_bytes, INT64_MAX))});
        for (const auto& row : rows) out.push_back(to_record(row));
        add_parked(tx, gateway.to_string(), after, max_records, out);
        return {};
    });
    if (!result) return result.error();
    return out;
}

base::Result<std::optional<std::uint64_t>> Store::sequence_before(const base::Uuid& gateway, base::UtcTime since) {
    std::optional<std::uint64_t> found;
    auto result = database_.read([&](Transaction& tx) -> base::Result<void> {
        found.reset();
        const auto rows =
            tx.execute("SELECT MIN(sequence) FROM audit_events WHERE gateway_id = $1 AND recorded_at >= $2",
                       {gateway.to_string(), base::to_micros(since)});
        if (!rows.empty() && !rows[0].is_null(0)) found = static_cast<std::uint64_t>(rows[0].integer(0)) - 1;
        return {};
    });
    if (!result) return result.error();
    return found;
}

}  // namespace usher::audit
