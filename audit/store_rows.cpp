#include "audit/store_rows.hpp"

#include <vector>

#include "audit/access_fields.hpp"
#include "base/log.hpp"

namespace usher::audit {

using base::sql::Blob;
using base::sql::Transaction;
using base::sql::Value;

namespace {

const std::string& upsert_text() {
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

}  // namespace

bool is_access(RecordType type) noexcept {
    return type == RecordType::access_opened || type == RecordType::access_progress ||
           type == RecordType::access_closed || type == RecordType::access_denied;
}

std::uint64_t lock_watermark(Transaction& tx, const std::string& gateway) {
    // The update that changes nothing is what locks the row, on both databases and also when it is the first.
    const auto rows = tx.execute(
        "INSERT INTO audit_shipping (gateway_id, shipped_sequence) VALUES ($1, 0) ON CONFLICT (gateway_id) DO UPDATE "
        "SET shipped_sequence = audit_shipping.shipped_sequence RETURNING shipped_sequence",
        {gateway});
    return static_cast<std::uint64_t>(rows.at(0).integer(0));
}

void move_watermark(Transaction& tx, const std::string& gateway, std::uint64_t sequence) {
    tx.execute("UPDATE audit_shipping SET shipped_sequence = $1 WHERE gateway_id = $2 AND shipped_sequence < $1",
               {static_cast<std::int64_t>(sequence), gateway});
}

base::Error missing_before(const std::string& gateway, std::uint64_t shipped, std::uint64_t next) {
    return {base::Errc::failed_precondition, "events " + std::to_string(shipped + 1) + " to " +
                                                 std::to_string(next - 1) + " of gateway " + gateway + " are missing"};
}

JournalRecord to_record(const base::sql::Row& row) {
    JournalRecord record;
    record.sequence = static_cast<std::uint64_t>(row.integer(0));
    record.type = static_cast<RecordType>(row.integer(1));
    record.recorded_at = base::from_micros(row.integer(2));
    record.access_id = base::Uuid::parse(row.text(3)).value_or(base::Uuid{});
    record.payload = row.blob(4);
    return record;
}

void insert_event(Transaction& tx, const std::string& gateway, const JournalRecord& record) {
    tx.execute(
        "INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload) VALUES ($1, $2, $3, "
        "$4, $5, $6) ON CONFLICT (gateway_id, sequence) DO NOTHING",
        {gateway, static_cast<std::int64_t>(record.sequence), static_cast<std::int64_t>(record.type),
         base::to_micros(record.recorded_at), record.access_id.is_nil() ? std::string() : record.access_id.to_string(),
         Blob{record.payload}});
}

bool upsert_access(Transaction& tx, const std::string& gateway, const JournalRecord& record) {
    usher::v1::AccessRecord access;
    if (!access.ParseFromString(record.payload) || !base::Uuid::parse(access.access_id())) {
        // Without its fields there is no row to make.
        base::log_error("an access record cannot be read; its event is stored as it is",
                        {{"gateway_id", gateway}, {"sequence", record.sequence}});
        return false;
    }
    access.set_gateway_id(gateway);
    access.set_sequence(record.sequence);
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
    tx.execute(upsert_text(), values);
    return true;
}

}  // namespace usher::audit
