#pragma once
#include <cstdint>
#include <string>

#include "audit/journal/journal.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"

/// The rows of a record, written inside of a transaction. Used by the store's parts.
namespace usher::audit {

bool is_access(RecordType type) noexcept;

/// The last sequence of `gateway` that is behind the store. Locks its row until the end of the transaction: of two that
/// ship the same records the second one waits, and then sees what the first one has done.
std::uint64_t lock_watermark(base::sql::Transaction& tx, const std::string& gateway);
/// Of a row that was locked.
void move_watermark(base::sql::Transaction& tx, const std::string& gateway, std::uint64_t sequence);
/// What is said of a batch that would leave a gap.
base::Error missing_before(const std::string& gateway, std::uint64_t shipped, std::uint64_t next);

/// A row of (sequence, type, recorded_at, access_id, payload).
JournalRecord to_record(const base::sql::Row& row);

/// The event as it came. An event that is there already is left as it is.
void insert_event(base::sql::Transaction& tx, const std::string& gateway, const JournalRecord& record);

/// The access's row, from this event of it; a later event replaces an earlier one, never the other way round. False
/// when the record cannot be read: then the event alone is kept, and the log says so.
bool upsert_access(base::sql::Transaction& tx, const std::string& gateway, const JournalRecord& record);

}  // namespace usher::audit
