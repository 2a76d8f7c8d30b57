#include "audit/store.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "audit/access_fields.hpp"
#include "audit/audit.hpp"
#include "base/log.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::sql::Blob;
using base::sql::Transaction;
using base::sql::Value;

namespace {

constexpr std::string_view insert_event =
    "INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload) VALUES ($1, $2, $3, $4, "
    "$5, $6) "
    "ON CONFLICT (gateway_id, sequence) DO NOTHING";

/// One row an access; a later event replaces an earlier one, never the other way round.
const std::string& upsert_access() {
    static const std::string sql = [] {
        std::string columns, values, updates;
        std::size_t n = 0;
        for (const auto& field : access_fields()) {
            const std::string column(field.column);
            columns += column + ", ";
            values += "$" + std::to_string(++n) + ", ";
            if (column != "access_id") updates += column + " = excluded." + column + ", ";
        }
        return "INSERT INTO accesses (" + columns + "payload) VALUES (" + values + "$" + std::to_string(n + 1) +
               ") ON CONFLICT (access_id) DO UPDATE SET " + updates +
               "payload = excluded.payload WHERE excluded.gateway_id = accesses.gateway_id AND excluded.sequence > "
               "accesses.sequence";
    }();
    return sql;
}

bool is_access(RecordType type) {
    return type == RecordType::access_opened || type == RecordType::access_progress ||
           type == RecordType::access_closed || type == RecordType::access_denied;
}

/// The latest event of each access of a batch: most are opened and closed within one, and a row is written once.
using LatestEvents = std::unordered_map<base::Uuid, const JournalRecord*>;

void upsert(Transaction& tx, const usher::v1::AccessRecord& access) {
    std::vector<Value> values;
    values.reserve(access_fields().size() + 1);
    for (const auto& field : access_fields()) {
        FieldValue value = field.read(access);
        if (auto* text = std::get_if<std::string>(&value))
            values.emplace_back(std::move(*text));
        else
            values.emplace_back(std::get<std::int64_t>(value));
    }
    values.emplace_back(Blob{access.SerializeAsString()});
    tx.execute(upsert_access(), values);
}

/// False when the record cannot be read.
bool upsert_event(Transaction& tx, const std::string& gateway, const JournalRecord& record) {
    usher::v1::AccessRecord access;
    if (!access.ParseFromString(record.payload) || !base::Uuid::parse(access.access_id())) {
        // The event itself is kept as it came; without its fields there is no row to make.
        base::log_error("an access record cannot be read; its event is stored as it is",
                        {{"gateway_id", gateway}, {"sequence", record.sequence}});
        return false;
    }
    access.set_gateway_id(gateway);
    access.set_sequence(record.sequence);
    upsert(tx, access);
    return true;
}

/// Makes the row of `latest`, or of the last event before it that can be read.
void upsert_latest(Transaction& tx, const std::string& gateway, std::span<const JournalRecord> batch,
                   const JournalRecord* latest) {
    const base::Uuid access = latest->access_id;
    for (auto index = static_cast<std::size_t>(latest - batch.data()) + 1; index-- > 0;) {
        const JournalRecord& record = batch[index];
        if (is_access(record.type) && record.access_id == access && upsert_event(tx, gateway, record)) return;
    }
}

std::uint64_t read_watermark(Transaction& tx, const std::string& gateway) {
    const auto rows = tx.execute("SELECT shipped_sequence FROM audit_shipping WHERE gateway_id = $1", {gateway});
    return rows.empty() ? 0 : static_cast<std::uint64_t>(rows[0].integer(0));
}

}  // namespace

base::Result<std::uint64_t> Store::watermark(const base::Uuid& gateway) {
    std::uint64_t found = 0;
    auto result = database_.read([&](Transaction& tx) -> base::Result<void> {
        found = read_watermark(tx, gateway.to_string());
        return {};
    });
    if (!result) return result.error();
    return found;
}

base::Result<void> Store::ingest(const base::Uuid& gateway, std::span<const JournalRecord> records) {
    if (records.empty()) return {};
    return database_.transaction([&](Transaction& tx) -> base::Result<void> {
        const std::string id = gateway.to_string();
        std::uint64_t shipped = read_watermark(tx, id);
        LatestEvents latest;
        for (const auto& record : records) {
            // The watermark, not the keys alone, decides what is a replay: retention may have removed the rows since.
            if (record.sequence <= shipped) continue;
            if (record.sequence != shipped + 1)
                return Error{Errc::failed_precondition, "events " + std::to_string(shipped + 1) + " to " +
                                                            std::to_string(record.sequence - 1) + " of gateway " + id +
                                                            " are missing"};
            tx.execute(insert_event, {id, static_cast<std::int64_t>(record.sequence),
                                      static_cast<std::int64_t>(record.type), base::to_micros(record.recorded_at),
                                      record.access_id.is_nil() ? std::string() : record.access_id.to_string(),
                                      Blob{record.payload}});
            if (is_access(record.type)) latest[record.access_id] = &record;
            shipped = record.sequence;
        }
        // In the order of their ids, which is nearly that of the rows there are.
        std::vector<const JournalRecord*> rows;
        rows.reserve(latest.size());
        for (const auto& [access_id, record] : latest) rows.push_back(record);
        std::sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) { return a->access_id < b->access_id; });
        for (const auto* record : rows) upsert_latest(tx, id, records, record);
        tx.execute(
            "INSERT INTO audit_shipping (gateway_id, shipped_sequence) VALUES ($1, $2) ON CONFLICT (gateway_id) DO "
            "UPDATE "
            "SET shipped_sequence = excluded.shipped_sequence WHERE excluded.shipped_sequence > "
            "audit_shipping.shipped_sequence",
            {id, static_cast<std::int64_t>(shipped)});
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
        for (const auto& row : rows) {
            JournalRecord record;
            record.sequence = static_cast<std::uint64_t>(row.integer(0));
            record.type = static_cast<RecordType>(row.integer(1));
            record.recorded_at = base::from_micros(row.integer(2));
            record.access_id = base::Uuid::parse(row.text(3)).value_or(base::Uuid{});
            record.payload = row.blob(4);
            out.push_back(std::move(record));
        }
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
