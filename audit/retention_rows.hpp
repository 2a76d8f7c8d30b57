#pragma once
#include <optional>
#include <vector>

#include "audit/retention_store.hpp"
#include "base/sql/database.hpp"

/// Rows of the retention tables, read and checked inside of a transaction. Used by retention_store and
/// retention_settings.
namespace usher::audit {

/// The built-in values where there is no row. Throws SqlError (data_loss) for a row that validate() refuses.
std::vector<RetentionStore::Stored> read_classes(base::sql::Transaction& tx);
/// By name. Throws as above.
std::vector<Hold> read_holds(base::sql::Transaction& tx);

inline base::sql::Value maybe(const std::optional<base::UtcTime>& time) {
    if (!time) return std::monostate{};
    return base::to_micros(*time);
}
inline std::optional<base::UtcTime> maybe_time(const base::sql::Row& row, std::size_t column) {
    const auto micros = row.maybe_integer(column);
    if (!micros) return std::nullopt;
    return base::from_micros(*micros);
}

/// A removal and a change of what is kept take turns: whichever commits first is wholly there for the other.
inline void take_turn(base::sql::Transaction& tx) { tx.execute("UPDATE retention_turn SET turn = turn + 1"); }

}  // namespace usher::audit
