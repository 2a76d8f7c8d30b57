#include "audit/store.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "audit/store_rows.hpp"

namespace usher::audit {

using base::sql::Transaction;

namespace {

/// The latest event of each access of a batch that can be read: most are opened and closed within one, and a row is
/// written once.
using LatestEvents = std::unordered_map<base::Uuid, Entry>;

void insert(Transaction& tx, base::sql::Dialect dialect, const std::string& gateway,
            const std::vector<const JournalRecord*>& records) {
    LatestEvents latest;
    DaySequences days;
    for (const auto* record : records) {
        Entry entry = to_entry(gateway, *record);
        insert_event(tx, entry);
        days.add(entry);
        if (entry.access) latest[record->access_id] = std::move(entry);
    }
    // In the order of their ids, which is nearly that of the rows there are.
    std::vector<const Entry*> rows;
    rows.reserve(latest.size());
    for (const auto& [access_id, entry] : latest) rows.push_back(&entry);
    std::sort(rows.begin(), rows.end(),
              [](const auto* a, const auto* b) { return a->record->access_id < b->record->access_id; });
    for (const auto* entry : rows) upsert_access(tx, dialect, *entry);
    days.write(tx, dialect, gateway);
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

base::Result<FleetWatermarks> Store::watermarks() {
    FleetWatermarks found;
    auto result = database_.read([&](Transaction& tx) -> base::Result<void> {
        found = {};
        // Their ids begin with the time at which they were made.
        const auto rows =
            tx.execute("SELECT gateway_id, shipped_sequence FROM audit_shipping ORDER BY gateway_id DESC LIMIT $1",
                       {static_cast<std::int64_t>(fleet_gateways_max) + 1});
        for (const auto& row : rows) {
            const auto gateway = base::Uuid::parse(row.text(0));
            if (!gateway) return base::Error{base::Errc::data_loss, "table audit_shipping: a gateway_id is no UUID"};
            found.more = found.of.size() == fleet_gateways_max;
            if (!found.more)
                found.of.emplace(*gateway, static_cast<std::uint64_t>(std::max<std::int64_t>(row.integer(1), 0)));
        }
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
        std::vector<const JournalRecord*> fresh;
        for (const auto& record : records) {
            // The watermark, not the keys alone, decides what is a replay: retention may have removed the rows since.
            if (record.sequence <= shipped) continue;
            if (record.sequence != shipped + 1) return missing_before(id, shipped, record.sequence);
            fresh.push_back(&record);
            shipped = record.sequence;
        }
        auto written = write_rows(tx, database_.dialect(), [&] { insert(tx, database_.dialect(), id, fresh); });
        if (!written) return written;
        move_watermark(tx, id, shipped);
        return {};
    });
}

}  // namespace usher::audit
