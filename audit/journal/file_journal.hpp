#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "audit/journal/file.hpp"
#include "audit/journal/format.hpp"
#include "audit/journal/journal.hpp"
#include "audit/journal/listeners.hpp"
#include "audit/journal/recovery.hpp"
#include "audit/journal/segment.hpp"
#include "audit/journal/spare.hpp"

namespace usher::audit::journal {

/// How long the next batch waits behind one of so many records that took so long to become durable. Where many come at
/// the same time, those who come within that time share a sync, which costs them less than syncs of their own would: at
/// most as long as a sync takes, and 300 us. Nothing where they are few.
std::chrono::microseconds pause_behind(std::size_t records, std::chrono::steady_clock::duration took) noexcept;

/// The Journal over any Disk.
///
/// Threads: callers queue under queue_mutex_; the journal's thread takes the whole queue, writes batches, and publishes
/// what became durable under state_mutex_; readers copy a position under state_mutex_ and read files without it. No
/// mutex is held while the disk works.
class FileJournal final : public Journal {
public:
    static base::Result<std::unique_ptr<Journal>> open(JournalOptions options, const base::Clock& clock, Disk& disk);
    /// One without a thread: what the thread would do is done by step(), and by append_and_wait(), on the caller's. For
    /// simulations, whose every step is to follow from a seed. What is queued when it is destroyed is dropped.
    static base::Result<std::unique_ptr<FileJournal>> open_stepped(JournalOptions options, const base::Clock& clock,
                                                                   Disk& disk);
    /// Does what there is to do now. Only for a journal of open_stepped().
    void step();
    ~FileJournal() override;

    base::Uuid gateway_id() const noexcept override { return gateway_; }
    void append(JournalAppend record, Done done) override;
    base::Result<std::uint64_t> append_and_wait(JournalAppend record) override;
    JournalStatus status() const override;
    std::uint64_t durable_sequence() const noexcept override { return durable_.load(std::memory_order_acquire); }
    std::uint64_t wait_beyond(std::uint64_t after, base::Microseconds timeout) const override;
    std::uint64_t add_listener(std::function<void()> listener) override { return listeners_.add(std::move(listener)); }
    void remove_listener(std::uint64_t id) override { listeners_.remove(id); }
    base::Result<std::vector<JournalRecord>> read(std::uint64_t after, std::size_t max_records,
                                                  std::size_t max_bytes) const override;
    void mark_shipped(std::uint64_t sequence) override;
    std::vector<JournalRecord> take_open_accesses() override;

private:
    struct Pending {
        JournalAppend record;
        Done done;
        std::size_t bytes() const noexcept { return frame_bytes(record.payload.size()); }
    };
    /// Consecutive records of one write.
    struct Batch {
        std::vector<Pending*> records;
        std::size_t bytes = 0;
    };
    struct Active {
        std::unique_ptr<File> file;
        std::shared_ptr<Segment> segment;
        std::uint64_t bytes = 0;  ///< the file's size
        std::uint32_t seed = 0;
    };
    struct LatestEvent {
        std::uint64_t sequence;
        std::shared_ptr<Segment> segment;
    };
    /// A stretch of one segment to read from.
    struct Stretch {
        std::string path;
        std::uint64_t first;   ///< of the segment
        std::uint64_t last;    ///< its last durable record
        std::uint64_t offset;  ///< where a record at or before the wanted one starts
        std::uint64_t end;
    };

    class Busy;

    FileJournal(JournalOptions options, const base::Clock& clock, Disk& disk);
    static base::Result<std::unique_ptr<FileJournal>> make(JournalOptions options, const base::Clock& clock,
                                                           Disk& disk);
    base::Result<void> start();
    base::Result<void> require_spare();
    base::Result<void> create_first();
    base::Result<void> write_gateway_id();

    // The journal's thread.
    void run();
    void take_shipped();
    std::size_t work(std::vector<Pending>& taken, std::size_t from);
    bool wait_for_work(std::vector<Pending>& taken);
    bool retry_due() const;
    std::size_t commit(std::vector<Pending>& taken, std::size_t from);
    std::size_t gather(std::vector<Pending>& taken, std::size_t from, Batch& batch);
    base::Result<void> make_durable(const Batch& batch, base::UtcTime now);
    base::Result<void> write_batch(const Batch& batch, base::UtcTime now);
    void publish(const Batch& batch);
    void follow(const JournalAppend& record, std::uint64_t sequence);
    base::Result<void> roll();
    void prepare_spare();
    void fail(const std::string& why);
    void refuse(Pending& pending, base::Errc code, const std::string& why);
    void trim();

    bool stalled() const noexcept;
    base::Result<void> admit(const JournalAppend& record) const;
    base::Result<Stretch> find(std::uint64_t sequence) const;
    base::Result<bool> read_stretch(const Stretch& stretch, std::uint64_t from, std::size_t max_records,
                                    std::size_t max_bytes, std::size_t& bytes, std::vector<JournalRecord>& out) const;

    const JournalOptions options_;
    const base::Clock& clock_;
    Disk& disk_;
    std::unique_ptr<DirectoryLock> lock_;
    base::Uuid gateway_;
    std::size_t payload_max_ = payload_bytes_max;

    mutable std::mutex queue_mutex_;
    std::condition_variable work_;
    std::vector<Pending> queue_;
    std::size_t queued_records_ = 0;  ///< with those that the thread has taken and not yet written
    std::size_t queued_bytes_ = 0;
    bool queue_urgent_ = false;                          ///< somebody waits for one of queue_
    std::chrono::steady_clock::time_point queue_since_;  ///< when the first of queue_ came
    bool thread_waits_ = false;
    bool stopping_ = false;
    std::uint64_t shipped_asked_ = 0;

    mutable std::mutex state_mutex_;
    std::deque<std::shared_ptr<Segment>> segments_;
    std::string problem_;
    std::vector<JournalRecord> found_open_;

    mutable std::mutex durable_mutex_;
    mutable std::condition_variable durable_grew_;
    mutable std::condition_variable waiters_left_;
    mutable std::size_t waiters_ = 0;
    bool closing_ = false;
    std::atomic<std::uint64_t> durable_{0};
    std::atomic<std::uint64_t> open_count_{0};
    std::atomic<bool> failed_{false};
    std::atomic<bool> spare_ready_{false};
    /// When the disk was given what it is busy with, in microseconds of the monotonic clock; 0 when it is not.
    std::atomic<std::int64_t> busy_since_us_{0};

    // Of the journal's thread alone.
    Spare spare_;
    Active active_;
    std::uint64_t next_sequence_ = 1;
    base::UtcTime last_recorded_at_;
    std::unordered_map<base::Uuid, LatestEvent> open_accesses_;
    std::vector<std::uint8_t> buffer_;
    std::vector<std::uint64_t> offsets_;  ///< of the batch's records in buffer_
    base::MonoTime spare_tried_at_;
    std::uint64_t shipped_ = 0;
    bool shipped_changed_ = false;
    bool trim_broken_ = false;
    std::chrono::steady_clock::time_point paused_until_{};  ///< as pause_behind() has it

    Listeners listeners_;
    std::thread thread_;
};

}  // namespace usher::audit::journal
