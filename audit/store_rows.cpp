#include "audit/store_rows.hpp"

#include <algorithm>
#include <vector>

#include "audit/access_fields.hpp"
#include "audit/days.hpp"
#include "base/log.hpp"

namespace usher::audit {

using base::sql::Blob;
using base::sql::Transaction;
using base::sql::Value;

namespace {

std::string upsert_text(const std::string& key) {
    std::string columns, values, updates;
    std::size_t n = 0;
    for (const auto& field : access_fields()) {
        const std::string column(field.column);
        columns += column + ", ";
        values += "$" + std::to_string(++n) + ", ";
        if (column != "access_id") updates += column + " = excluded." + column + ", ";
    }
    return "INSERT INTO accesses (" + columns + "payload) VALUES (" + values + "$" + std::to_string(n + 1) +
           ") ON CONFLICT (" + key + ") DO UPDATE SET " + updates +
           "payload = excluded.payload WHERE excluded.gateway_id = accesses.gateway_id AND excluded.sequence > "
           "accesses.sequence";
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

Entry to_entry(const std::string& gateway, const JournalRecord& record) {
    Entry entry{gateway, &record, std::nullopt, base::to_micros(record.recorded_at)};
    if (!is_access(record.type)) return entry;
    usher::v1::AccessRecord access;
    if (!access.ParseFromString(record.payload) || !base::Uuid::parse(access.access_id())) {
        // Without its fields there is no row to make.
        base::log_error("an access record cannot be read; its event is stored as it is",
                        {{"gateway_id", gateway}, {"sequence", record.sequence}});
        return entry;
    }
    access.set_gateway_id(gateway);
    access.set_sequence(record.sequence);
    entry.started_at = opened_at_micros(access);
    entry.access = std::move(access);
    return entry;
}

void insert_event(Transaction& tx, const Entry& entry) {
    const JournalRecord& record = *entry.record;
    tx.execute(
        "INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload, started_at) VALUES "
        "($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        {entry.gateway, static_cast<std::int64_t>(record.sequence), static_cast<std::int64_t>(record.type),
         base::to_micros(record.recorded_at), record.access_id.is_nil() ? std::string() : record.access_id.to_string(),
         Blob{record.payload}, entry.started_at});
}

void upsert_access(Transaction& tx, base::sql::Dialect dialect, const Entry& entry) {
    const auto& access = *entry.access;
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
    static const std::string sqlite = upsert_text("access_id"), postgresql = upsert_text("access_id, opened_at");
    tx.execute(dialect == base::sql::Dialect::sqlite ? sqlite : postgresql, values);
}

base::Result<void> write_rows(Transaction& tx, base::sql::Dialect dialect, const std::function<void()>& write) {
    try {
        write();
        // What somebody has made deferrable is asked here, and not at the commit, where nobody knows what it is about.
        if (dialect == base::sql::Dialect::postgresql) tx.execute("SET CONSTRAINTS ALL IMMEDIATE");
        return {};
    } catch (const base::sql::SqlError& e) {
        // These tables refer to no others: a foreign key is a constraint that somebody has added, as any other.
        if (e.error.code != base::Errc::failed_precondition) throw;
        return base::Error{base::Errc::invalid_argument, e.error.message};
    }
}

void DaySequences::add(const Entry& entry) {
    const auto sequence = entry.record->sequence;
    auto [found, is_new] = days_.try_emplace(day_of(entry.started_at), Sequences{sequence, sequence});
    found->second.first = std::min(found->second.first, sequence);
    found->second.last = std::max(found->second.last, sequence);
}

void DaySequences::write(Transaction& tx, base::sql::Dialect dialect, const std::string& gateway) const {
    if (dialect == base::sql::Dialect::sqlite) return;
    for (const auto& [day, sequences] : days_)
        tx.execute(
            "INSERT INTO audit_days (gateway_id, day, first_sequence, last_sequence) VALUES ($1, $2, $3, $4) ON "
            "CONFLICT (gateway_id, day) DO UPDATE SET first_sequence = LEAST(audit_days.first_sequence, "
            "excluded.first_sequence), last_sequence = GREATEST(audit_days.last_sequence, excluded.last_sequence)",
            {gateway, day, static_cast<std::int64_t>(sequences.first), static_cast<std::int64_t>(sequences.last)});
}

}  // namespace usher::audit
