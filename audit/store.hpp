#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "audit/filter.hpp"
#include "audit/fleet_cursor.hpp"
#include "audit/journal/journal.hpp"
#include "audit/ship.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::audit {

/// The schema of the audit store; gateway/main adds it to auth's migrations (numbers 100-199 are the audit's).
std::span<const base::sql::Migration> store_migrations();

/// The queryable database that the journal is shipped to (docs/store.md). One row an event in audit_events (gateway_id,
/// sequence, type, recorded_at, access_id, payload, started_at), one row an access in accesses (the columns are the
/// record's fields; latest event wins by sequence), one row a gateway in audit_shipping (the watermark); what the
/// database refused is in audit_parked, as it came. Blocking; thread-safe as the Database is.
class Store final : public Destination {
public:
    explicit Store(base::sql::Database& database) : database_(database) {}

    /// The last sequence of `gateway` that has been ingested; 0 when there is none.
    base::Result<std::uint64_t> watermark(const base::Uuid& gateway) override;

    /// Of every gateway that has shipped here, the newest fleet_gateways_max of them. Reads one row for each.
    base::Result<FleetWatermarks> watermarks();
    /// Whether other gateways may be on this database.
    bool shared() const noexcept { return database_.dialect() == base::sql::Dialect::postgresql; }

    /// Ingests consecutive records in one transaction and moves the watermark. Records at or below the watermark are
    /// skipped, so a batch may be sent again; a batch that would leave a gap behind the watermark is
    /// failed_precondition.
    base::Result<void> ingest(const base::Uuid& gateway, std::span<const JournalRecord> records) override;
    base::Result<void> park(const base::Uuid& gateway, const JournalRecord& record, const base::Error& why) override;

    /// A record that the database refused.
    struct Parked {
        base::Uuid gateway;
        JournalRecord record;
        std::string error;  ///< why, as the database said it
    };
    /// By (gateway, sequence), behind the place of `after`. No more than `limit`.
    base::Result<std::vector<Parked>> list_parked(const base::Uuid& after_gateway, std::uint64_t after_sequence,
                                                  std::size_t limit);
    /// not_found where there is none.
    base::Result<Parked> find_parked(const base::Uuid& gateway, std::uint64_t sequence);
    /// Of all gateways; counts no further than parked_counted_max.
    base::Result<std::uint64_t> count_parked();
    static constexpr std::int64_t parked_counted_max = 100'000;
    /// Brings a parked record to its place, as ingest() would have, and forgets that it was parked. not_found where
    /// there is none; an error that is_refusal() where the database still refuses it: then it stays parked.
    base::Result<void> retry_parked(const base::Uuid& gateway, std::uint64_t sequence);

    /// A place among the accesses in the order of (opened_at, access_id).
    struct ScanPlace {
        std::int64_t opened_at = INT64_MIN;  ///< microseconds since 1970
        std::string access_id{};             ///< empty: before all that were opened then
    };
    struct Scanned {
        ScanPlace place;   ///< of the last one that was visited
        bool end = false;  ///< there were no more
    };
    /// Shows the accesses behind a place to `visit`, in order, each with its latest event: until it says false, `limit`
    /// were visited, or there are no more. Holds some thousands of them at once. Reads on, on another thread, while it
    /// visits.
    base::Result<Scanned> scan_accesses(const ScanPlace& behind, std::size_t limit,
                                        const std::function<bool(const usher::v1::AccessRecord&)>& visit);

    /// Called before a parked record is given up, inside of the transaction; an error means that it must not be. May be
    /// called again when the transaction runs again.
    using OnDiscard = std::function<base::Result<void>(const Parked&)>;
    /// Forgets a parked record for good. not_found where there is none; failed_precondition where a hold keeps it, or
    /// where it is the CLOSED of an access of which the store has the rest.
    base::Result<void> discard_parked(const base::Uuid& gateway, std::uint64_t sequence, const OnDiscard& record);

    /// Events of `gateway` with sequence > `after`, parked ones with them, in order: at most `max_records`, and as many
    /// as `max_bytes` of payloads hold, but one at least.
    base::Result<std::vector<JournalRecord>> read_events(const base::Uuid& gateway, std::uint64_t after,
                                                         std::size_t max_records,
                                                         std::size_t max_bytes = std::size_t{64} << 20);
    /// The sequence before the first event recorded at or after `since`, for starting a tail; nullopt when the store
    /// holds none so new.
    base::Result<std::optional<std::uint64_t>> sequence_before(const base::Uuid& gateway, base::UtcTime since);

    struct Page {
        std::vector<usher::v1::AccessRecord> accesses;
        std::string next_page_token;  ///< empty at the end
    };
    /// Accesses that match, by (opened_at, access_id), newest first unless `oldest_first`. A page token of other
    /// parameters, or a forged one, is invalid_argument.
    base::Result<Page> list_accesses(const Filter& filter, bool oldest_first, std::size_t page_size,
                                     const std::string& page_token);

    /// Accesses of an account that stand open at other gateways than `except`, were opened at or after `opened_since`.
    struct OpenQuestion {
        std::string account_id;
        base::Uuid except;
        base::UtcTime opened_since;
        base::UtcTime heard_since;
        std::chrono::steady_clock::time_point
            by;  ///< when nobody waits for it any more; PostgreSQL ends a statement then
    };
    struct OpenElsewhere {
        std::uint64_t heard = 0;     ///< of which something was recorded at or after `heard_since`
        std::uint64_t gateways = 0;  ///< that have these
        std::uint64_t unheard = 0;   ///< the others
    };
    /// Counts them by what their gateways have shipped. Reads what is open, or what the account did, in the days since
    /// `opened_since`. deadline_exceeded past `by`.
    base::Result<OpenElsewhere> count_open_elsewhere(const OpenQuestion& question);

private:
    base::sql::Database& database_;
};

}  // namespace usher::audit
