#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace usher::audit {

/// What a journal record is about. The number is on disk; never reuse one.
enum class RecordType : std::uint8_t {
    access_opened = 1,
    access_progress = 2,
    access_closed = 3,
    access_denied = 4,
    admin = 5,
    session = 6,
    system = 7,
};

/// One durable record as it is read back.
struct JournalRecord {
    std::uint64_t sequence = 0;  ///< dense from 1
    base::UtcTime recorded_at;   ///< never goes back within a journal, even when the wall clock does
    RecordType type{};
    base::Uuid access_id;  ///< nil for records that belong to no access
    std::string payload;   ///< serialized usher.v1 message of the type (AccessRecord, AdminRecord, ...)
};

/// What is to be appended. The journal assigns sequence and recorded_at.
struct JournalAppend {
    RecordType type{};
    base::Uuid access_id;
    std::string payload;
    /// Nobody waits for it: it may lie in memory for a moment (10 ms at most), to be synced with the next that is
    /// waited for.
    bool can_wait = false;
};

struct JournalOptions {
    std::string directory;                    ///< data_dir/journal; created with mode 0700
    std::uint64_t segment_bytes = 16u << 20;  ///< preallocated; at least 64 KiB
    std::size_t queue_records = 65536;        ///< waiting appends; past it append() fails with resource_exhausted
    std::size_t queue_bytes = 64u << 20;
    base::Microseconds stall_limit{2'000'000};  ///< an fdatasync slower than this makes healthy() false (A3)
    std::size_t keep_shipped_segments = 2;      ///< shipped segments kept for readers that are a little behind
    /// Told on the journal's thread how long each batch took to be on stable storage. Must not block and must not
    /// throw.
    std::function<void(base::Microseconds)> on_commit{};
};

struct JournalStatus {
    std::uint64_t durable_sequence = 0;
    std::uint64_t first_sequence = 0;  ///< the oldest one still in a segment
    std::uint64_t open_accesses = 0;   ///< OPENED or PROGRESS without CLOSED
    std::uint64_t queued = 0;          ///< records that are not durable yet
    bool healthy = true;               ///< false: appends other than access_closed are refused
    std::string problem;               ///< why, for the operator
};

/// The gateway's durable, append-only file of audit events: segment files of checksummed records, written by one thread
/// with group commit (every waiting append, one write, one fdatasync). The format is docs/journal-format.md.
///
/// Ownership: owns its directory (flock on directory/lock) and its thread. All functions are thread-safe.
class Journal {
public:
    /// Called on the journal's thread: the sequence when the record is on stable storage, or why it never will be.
    /// Must not block and must not throw.
    using Done = std::function<void(base::Result<std::uint64_t>)>;

    /// Opens or creates the journal and repairs what a crash left: a torn record at the end of the last segment, with
    /// nothing valid after it, is cut; damage anywhere else is data_loss, naming file and offset, and nothing is
    /// changed. A directory that another process holds is failed_precondition.
    static base::Result<std::unique_ptr<Journal>> open(JournalOptions options, const base::Clock& clock);

    /// Writes what is queued, then stops the thread. Appends that could not be made durable have had their Done.
    virtual ~Journal() = default;

    /// This journal's gateway: a UUID made when the directory was, kept in directory/gateway_id.
    virtual base::Uuid gateway_id() const noexcept = 0;

    /// Queues a record; `done` may be empty. Refused at once (through `done`, on the calling thread, or on the
    /// journal's) past the queue's bound, when the disk is full (access_closed still goes into the reserve) or when
    /// the journal has failed.
    virtual void append(JournalAppend record, Done done) = 0;
    /// append() and wait. Not for workers.
    virtual base::Result<std::uint64_t> append_and_wait(JournalAppend record) = 0;

    virtual JournalStatus status() const = 0;
    /// The last durable sequence; 0 when there is none. Wait-free.
    virtual std::uint64_t durable_sequence() const noexcept = 0;
    /// Blocks until durable_sequence() > `after`, or `timeout` has passed, or the journal is closing; returns the
    /// durable sequence then.
    virtual std::uint64_t wait_beyond(std::uint64_t after, base::Microseconds timeout) const = 0;
    /// Calls `listener` on the journal's thread whenever durable_sequence() has grown. At most 64 listeners; returns an
    /// id for remove_listener(), which returns when the listener is not running and will not run again.
    virtual std::uint64_t add_listener(std::function<void()> listener) = 0;
    virtual void remove_listener(std::uint64_t id) = 0;

    /// Reads durable records with sequence > `after`, at most `max_records` and about `max_bytes`, in order. When the
    /// journal no longer holds after+1, the answer is not_found (the store has it). Empty: nothing newer is durable.
    virtual base::Result<std::vector<JournalRecord>> read(std::uint64_t after, std::size_t max_records,
                                                          std::size_t max_bytes) const = 0;

    /// The store has everything up to and including `sequence`: segments that hold nothing newer, and no last event of
    /// an open access, may go.
    virtual void mark_shipped(std::uint64_t sequence) = 0;

    /// The latest record of each access that is open according to the journal, as found at open(). For recovery.
    virtual std::vector<JournalRecord> take_open_accesses() = 0;
};

}  // namespace usher::audit
