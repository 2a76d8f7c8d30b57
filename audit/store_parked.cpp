// What the database refused to take: put aside, shown, and brought to its place.

#include "audit/retention_rows.hpp"
#include "audit/store.hpp"
#include "audit/store_rows.hpp"
#include "base/text.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Row;
using base::sql::Transaction;

namespace {

constexpr std::size_t error_bytes_max = 1000;

/// A row of (sequence, type, recorded_at, access_id, payload, gateway_id, error).
Store::Parked to_parked(const Row& row) {
    return {base::Uuid::parse(row.text(5)).value_or(base::Uuid{}), to_record(row), row.text(6)};
}

}  // namespace

Result<void> Store::park(const base::Uuid& gateway, const JournalRecord& record, const Error& why) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        const std::string id = gateway.to_string();
        const std::uint64_t shipped = lock_watermark(tx, id);
        if (record.sequence <= shipped) return {};
        if (record.sequence != shipped + 1) return missing_before(id, shipped, record.sequence);
        tx.execute(
            "INSERT INTO audit_parked (gateway_id, sequence, type, recorded_at, access_id, payload, error) VALUES ($1, "
            "$2, $3, $4, $5, $6, $7)",
            {id, static_cast<std::int64_t>(record.sequence), static_cast<std::int64_t>(record.type),
             base::to_micros(record.recorded_at),
             record.access_id.is_nil() ? std::string() : record.access_id.to_string(), base::sql::Blob{record.payload},
             base::escape_for_terminal(why.message, error_bytes_max)});
        move_watermark(tx, id, record.sequence);
        return {};
    });
}

Result<std::vector<Store::Parked>> Store::list_parked(const base::Uuid& after_gateway, std::uint64_t after_sequence,
                                                      std::size_t limit) {
    std::vector<Parked> out;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        out.clear();
        const std::string after = after_gateway.is_nil() ? std::string() : after_gateway.to_string();
        for (const auto& row :
             tx.execute("SELECT sequence, type, recorded_at, access_id, payload, gateway_id, error FROM audit_parked "
                        "WHERE gateway_id > $1 OR (gateway_id = $1 AND sequence > $2) ORDER BY gateway_id, sequence "
                        "LIMIT $3",
                        {after, static_cast<std::int64_t>(after_sequence), static_cast<std::int64_t>(limit)}))
            out.push_back(to_parked(row));
        return {};
    });
    if (!read) return std::move(read).error();
    return out;
}

Result<Store::Parked> Store::find_parked(const base::Uuid& gateway, std::uint64_t sequence) {
    std::optional<Parked> found;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        found.reset();
        const auto rows = tx.execute(
            "SELECT sequence, type, recorded_at, access_id, payload, gateway_id, error FROM audit_parked "
            "WHERE gateway_id = $1 AND sequence = $2",
            {gateway.to_string(), static_cast<std::int64_t>(sequence)});
        if (!rows.empty()) found = to_parked(rows[0]);
        return {};
    });
    if (!read) return std::move(read).error();
    if (!found) return {Errc::not_found, "no such record is parked; 'usherctl audit parked list' shows those that are"};
    return std::move(*found);
}

Result<std::uint64_t> Store::count_parked() {
    std::uint64_t count = 0;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        count = static_cast<std::uint64_t>(
            tx.execute("SELECT COUNT(*) FROM (SELECT 1 FROM audit_parked LIMIT $1) AS parked", {parked_counted_max})
                .at(0)
                .integer(0));
        return {};
    });
    if (!read) return std::move(read).error();
    return count;
}

Result<void> Store::retry_parked(const base::Uuid& gateway, std::uint64_t sequence) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        const std::string id = gateway.to_string();
        const auto number = static_cast<std::int64_t>(sequence);
        const auto rows = tx.execute(
            "SELECT sequence, type, recorded_at, access_id, payload FROM audit_parked WHERE gateway_id = $1 AND "
            "sequence = $2",
            {id, number});
        if (rows.empty())
            return {Errc::not_found, "no such record is parked; 'usherctl audit parked list' shows those that are"};
        const JournalRecord record = to_record(rows[0]);
        const Entry entry = to_entry(id, record);
        auto written = write_rows(tx, database_.dialect(), [&] {
            insert_event(tx, entry);
            if (entry.access) upsert_access(tx, database_.dialect(), entry);
            DaySequences days;
            days.add(entry);
            days.write(tx, database_.dialect(), id);
        });
        if (!written) return written;
        tx.execute("DELETE FROM audit_parked WHERE gateway_id = $1 AND sequence = $2", {id, number});
        return {};
    });
}

namespace {

/// Why a record must stay although the store cannot take it; nullopt: it may go.
std::optional<std::string> keeps(Transaction& tx, const std::string& gateway, const JournalRecord& record) {
    const auto facts = facts_of(record);
    for (const auto& hold : read_holds(tx))
        if (!facts || covers(hold, *facts)) return "hold '" + hold.name + "' keeps the record";
    if (record.type != RecordType::access_closed) return std::nullopt;
    const bool others = !tx.execute(
                               "SELECT 1 FROM audit_events WHERE gateway_id = $1 AND access_id = $2 AND started_at = "
                               "$3 LIMIT 1",
                               {gateway, record.access_id.to_string(), to_entry(gateway, record).started_at})
                             .empty();
    if (others)
        return "the store has the access's other events, which would stay for ever without the one that says that it "
               "is over; mend what refuses it and retry it";
    return std::nullopt;
}

}  // namespace

Result<void> Store::discard_parked(const base::Uuid& gateway, std::uint64_t sequence, const OnDiscard& record) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        take_turn(tx);  // with those who change holds
        const std::string id = gateway.to_string();
        const auto number = static_cast<std::int64_t>(sequence);
        const auto rows = tx.execute(
            "SELECT sequence, type, recorded_at, access_id, payload, gateway_id, error FROM audit_parked WHERE "
            "gateway_id = $1 AND sequence = $2",
            {id, number});
        if (rows.empty())
            return {Errc::not_found, "no such record is parked; 'usherctl audit parked list' shows those that are"};
        const auto parked = to_parked(rows[0]);
        if (auto why = keeps(tx, id, parked.record)) return {Errc::failed_precondition, *why};
        if (auto ok = record(parked); !ok) return ok;
        tx.execute("DELETE FROM audit_parked WHERE gateway_id = $1 AND sequence = $2", {id, number});
        return {};
    });
}

}  // namespace usher::audit
