#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "audit/journal/journal.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"
#include "usher/v1/access.pb.h"

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

/// What a record is written as.
struct Entry {
    std::string gateway;
    const JournalRecord* record = nullptr;
    std::optional<usher::v1::AccessRecord> access;  ///< of an event of an access that can be read
    /// When the access was opened, as its row says it; for everything else when it was recorded. An access's events all
    /// say the same, so that they lie in one day.
    std::int64_t started_at = 0;
};
/// Refers to `record`. What of an access cannot be read is said in the log.
Entry to_entry(const std::string& gateway, const JournalRecord& record);

/// The event as it came. An event that is there already is left as it is.
void insert_event(base::sql::Transaction& tx, const Entry& entry);

/// The access's row, from this event of it, which can be read; a later event replaces an earlier one, never the other
/// way round.
void upsert_access(base::sql::Transaction& tx, base::sql::Dialect dialect, const Entry& entry);

/// Runs `write`, which writes rows of records into a database that has let the watermark be locked. What refuses them
/// for ever is invalid_argument or already_exists: see is_refusal(). Throws what else there is.
base::Result<void> write_rows(base::sql::Transaction& tx, base::sql::Dialect dialect,
                              const std::function<void()>& write);

/// Keeps in which days the sequences of a gateway lie; on PostgreSQL, where it is asked for.
class DaySequences {
public:
    void add(const Entry& entry);
    void write(base::sql::Transaction& tx, base::sql::Dialect dialect, const std::string& gateway) const;

private:
    struct Sequences {
        std::uint64_t first = 0, last = 0;
    };
    std::map<std::int64_t, Sequences> days_;
};

}  // namespace usher::audit
