#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/journal/journal.hpp"
#include "audit/store.hpp"
#include "base/clock.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::audit {

/// Makes an AuditEvent of a durable record: fills gateway_id, sequence, recorded_at and the cursor. data_loss when the
/// payload does not parse.
base::Result<usher::v1::AuditEvent> decode(const base::Uuid& gateway, const JournalRecord& record);
/// The append for an event's record; the type follows from which it is (and from `event` of an access).
JournalAppend encode(const usher::v1::AccessRecord& access);
JournalAppend encode(const usher::v1::AdminRecord& admin);
JournalAppend encode(const usher::v1::SessionRecord& session);
JournalAppend encode(const usher::v1::SystemRecord& system);

/// A position in one gateway's events: "GATEWAY-UUID:SEQUENCE".
struct Cursor {
    base::Uuid gateway;
    std::uint64_t sequence = 0;
    std::string to_string() const;
    static std::optional<Cursor> parse(std::string_view text);
};

/// After a crash: appends CLOSED(GATEWAY_CRASHED, bytes_uncertain, and the duration of the last durable event,
/// closed_at = opened_at + duration) for every access that was left open, and a SystemRecord RECOVERED; waits until
/// they are durable. Idempotent: killed half-way, the next start does the rest. Returns how many were closed.
base::Result<std::uint64_t> close_crashed(Journal& journal);
/// The same of these accesses, of each of which `open` has the latest record: those of another process that is no more.
base::Result<std::uint64_t> close_crashed(Journal& journal, const std::vector<JournalRecord>& open);

/// Ships the journal to the store: one thread, batches of at most 500 records or 1 MiB, exponential backoff from 100 ms
/// to 10 s (with the reason logged once per outage and once at its end) while the store is away. Survives any outage:
/// the journal keeps what is not shipped. A record that the
/// store refuses is parked, with an error in the log. A journal that ends before what the store already has of its
/// gateway (an old copy was put back) is not shipped and says so in last_error(): its new events carry sequences that
/// are taken.
class Shipper {
public:
    static std::unique_ptr<Shipper> start(Journal& journal, Store& store, const base::Clock& clock);
    virtual ~Shipper() = default;  ///< stops within one batch; what is not shipped stays in the journal
    virtual std::uint64_t shipped_sequence() const noexcept = 0;
    virtual std::string last_error() const = 0;
    /// Blocks until everything up to `sequence` is in the store or `timeout` has passed. For graceful stops and tests.
    virtual bool wait_shipped(std::uint64_t sequence, base::Microseconds timeout) = 0;
};

/// How far the store is behind.
struct ShippingLag {
    std::uint64_t events = 0;  ///< on disk and not in the store
    /// How long the oldest of them has been on disk, by the wall clock; nullopt: there is none, or it cannot be read.
    std::optional<base::Microseconds> age;
};
/// Reads at most one record of the journal. Thread-safe.
ShippingLag shipping_lag(const Journal& journal, const Shipper& shipper, base::UtcTime now);

/// Reads the stream of one gateway from any position: from the journal while it holds the position, else from the
/// store. Holds no queue: a reader that stops costs nothing but its position. Not thread-safe; blocks on files and
/// database.
class TailReader {
public:
    TailReader(Journal& journal, Store& store, Filter filter);
    /// Starts behind `after`. A cursor of another gateway or beyond the end is invalid_argument.
    base::Result<void> start_after(const Cursor& after);
    base::Result<void> start_since(base::UtcTime since);
    void start_now();

    struct Batch {
        std::vector<usher::v1::TailResponse> items;  ///< matching events, or a Gap
        bool at_end = false;                         ///< nothing more is durable now
    };
    /// At most 256 items and about 1 MiB, or one event that is larger; scans at most 4096 records a call, so an empty
    /// batch need not be the end.
    base::Result<Batch> next();
    std::uint64_t position() const noexcept { return position_; }  ///< the last sequence that was read
    /// Goes back to behind an earlier position: what was read since is read again.
    void go_back(std::uint64_t sequence) noexcept { position_ = sequence; }

private:
    Journal& journal_;
    Store& store_;
    Filter filter_;
    std::uint64_t position_ = 0;
    std::optional<base::UtcTime> since_;
};

}  // namespace usher::audit
