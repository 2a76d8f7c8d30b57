#include "audit/sinks/sink_store.hpp"

#include "audit/sinks/settings.hpp"
#include "base/text.hpp"

namespace usher::audit::sinks {

using base::Result;
using base::sql::Transaction;

namespace {

constexpr std::size_t error_bytes_max = 1000;

std::int64_t number(std::uint64_t sequence) { return static_cast<std::int64_t>(sequence); }

void move_cursor(Transaction& tx, const std::string& sink, const std::string& gateway, std::uint64_t sequence,
                 base::UtcTime now) {
    // Of two processes that forward the same records during an upgrade, the one that is behind moves nothing.
    tx.execute(
        "INSERT INTO audit_sinks (sink, gateway_id, sequence, updated_at) VALUES ($1, $2, $3, $4) ON CONFLICT (sink, "
        "gateway_id) DO UPDATE SET sequence = excluded.sequence, updated_at = excluded.updated_at WHERE "
        "audit_sinks.sequence < excluded.sequence",
        {sink, gateway, number(sequence), base::to_micros(now)});
}

std::string shown(const base::Error& why) { return base::escape_for_terminal(why.message, error_bytes_max); }

}  // namespace

bool is_sink_name(const std::string& name) noexcept {
    return !name.empty() && name.size() <= name_bytes_max && name.front() >= 'a' && name.front() <= 'z' &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

Result<std::uint64_t> SinkStore::cursor(const std::string& sink, const base::Uuid& gateway) {
    std::uint64_t found = 0;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        const auto rows = tx.execute("SELECT sequence FROM audit_sinks WHERE sink = $1 AND gateway_id = $2",
                                     {sink, gateway.to_string()});
        found = rows.empty() ? 0 : static_cast<std::uint64_t>(rows[0].integer(0));
        return {};
    });
    if (!read) return std::move(read).error();
    return found;
}

Result<void> SinkStore::advance(const std::string& sink, const base::Uuid& gateway, std::uint64_t sequence) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        move_cursor(tx, sink, gateway.to_string(), sequence, clock_.utc());
        return {};
    });
}

Result<void> SinkStore::park(const std::string& sink, const base::Uuid& gateway, std::uint64_t sequence,
                             base::UtcTime recorded_at, const base::Error& why) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        const std::string id = gateway.to_string();
        tx.execute(
            "INSERT INTO audit_sink_parked (sink, gateway_id, sequence, recorded_at, parked_at, error, retry) VALUES "
            "($1, $2, $3, $4, $5, $6, 0) ON CONFLICT (sink, gateway_id, sequence) DO UPDATE SET error = excluded.error",
            {sink, id, number(sequence), base::to_micros(recorded_at), base::to_micros(clock_.utc()), shown(why)});
        move_cursor(tx, sink, id, sequence, clock_.utc());
        return {};
    });
}

Result<std::vector<SinkStore::Parked>> SinkStore::list_parked(const std::string& sink, const Parked& after,
                                                              std::size_t limit) {
    std::vector<Parked> out;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        out.clear();
        const std::string gateway = after.gateway.is_nil() ? std::string() : after.gateway.to_string();
        for (const auto& row : tx.execute(
                 "SELECT sink, gateway_id, sequence, recorded_at, parked_at, error, retry FROM audit_sink_parked "
                 "WHERE ($1 = '' OR sink = $1) AND (sink > $2 OR (sink = $2 AND (gateway_id > $3 OR (gateway_id "
                 "= $3 AND sequence > $4)))) ORDER BY sink, gateway_id, sequence LIMIT $5",
                 {sink, after.sink, gateway, number(after.sequence), static_cast<std::int64_t>(limit)}))
            out.push_back({row.text(0), base::Uuid::parse(row.text(1)).value_or(base::Uuid{}),
                           static_cast<std::uint64_t>(row.integer(2)), base::from_micros(row.integer(3)),
                           base::from_micros(row.integer(4)), row.text(5), row.integer(6) != 0});
        return {};
    });
    if (!read) return std::move(read).error();
    return out;
}

Result<std::uint64_t> SinkStore::count_parked(const std::string& sink, const base::Uuid& gateway) {
    std::uint64_t count = 0;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        count =
            static_cast<std::uint64_t>(tx.execute("SELECT COUNT(*) FROM (SELECT 1 FROM audit_sink_parked WHERE sink "
                                                  "= $1 AND gateway_id = $2 LIMIT $3) AS parked",
                                                  {sink, gateway.to_string(), parked_counted_max})
                                           .at(0)
                                           .integer(0));
        return {};
    });
    if (!read) return std::move(read).error();
    return count;
}

Result<std::uint64_t> SinkStore::ask_retry(const std::string& sink, const std::optional<base::Uuid>& gateway,
                                           std::uint64_t sequence) {
    std::uint64_t asked = 0;
    auto done = database_.transaction([&](Transaction& tx) -> Result<void> {
        if (gateway)
            tx.execute("UPDATE audit_sink_parked SET retry = 1 WHERE sink = $1 AND gateway_id = $2 AND sequence = $3",
                       {sink, gateway->to_string(), number(sequence)});
        else
            tx.execute("UPDATE audit_sink_parked SET retry = 1 WHERE sink = $1", {sink});
        asked = static_cast<std::uint64_t>(tx.changed_rows());
        return {};
    });
    if (!done) return std::move(done).error();
    return asked;
}

Result<std::vector<std::uint64_t>> SinkStore::to_retry(const std::string& sink, const base::Uuid& gateway,
                                                       std::size_t limit) {
    std::vector<std::uint64_t> out;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        out.clear();
        for (const auto& row : tx.execute("SELECT sequence FROM audit_sink_parked WHERE sink = $1 AND gateway_id = $2 "
                                          "AND retry = 1 ORDER BY sequence LIMIT $3",
                                          {sink, gateway.to_string(), static_cast<std::int64_t>(limit)}))
            out.push_back(static_cast<std::uint64_t>(row.integer(0)));
        return {};
    });
    if (!read) return std::move(read).error();
    return out;
}

Result<void> SinkStore::forget(const std::string& sink, const base::Uuid& gateway, std::uint64_t sequence) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        tx.execute("DELETE FROM audit_sink_parked WHERE sink = $1 AND gateway_id = $2 AND sequence = $3",
                   {sink, gateway.to_string(), number(sequence)});
        return {};
    });
}

Result<void> SinkStore::refused_again(const std::string& sink, const base::Uuid& gateway, std::uint64_t sequence,
                                      const base::Error& why) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        tx.execute(
            "UPDATE audit_sink_parked SET retry = 0, error = $4 WHERE sink = $1 AND gateway_id = $2 AND sequence "
            "= $3",
            {sink, gateway.to_string(), number(sequence), shown(why)});
        return {};
    });
}

}  // namespace usher::audit::sinks
