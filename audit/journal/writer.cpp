#include <algorithm>
#include <cassert>
#include <chrono>

#include "audit/journal/file_journal.hpp"
#include "base/log.hpp"

// What the journal's thread does: batches, segments, and what to do when the disk fails.
namespace usher::audit::journal {

using base::Errc;
using base::Error;
using base::Result;

namespace {
constexpr std::size_t batch_bytes_max = 4u << 20;
constexpr base::Microseconds spare_retry{500'000};
/// What can wait waits this long for something that cannot: two syncs become one.
constexpr std::chrono::milliseconds gathering{10};
/// What a pause is worth: a sync of fewer is soon over, and a longer one is felt by those who wait.
constexpr std::size_t crowd_records = 4;
constexpr std::chrono::microseconds pause_max{300};
/// How often the thread looks at the clock while it waits for the next try; the clock may be one that tests move.
constexpr std::chrono::milliseconds retry_poll{20};
}  // namespace

std::chrono::microseconds pause_behind(std::size_t records, std::chrono::steady_clock::duration took) noexcept {
    if (records < crowd_records) return {};
    return std::clamp(std::chrono::duration_cast<std::chrono::microseconds>(took), std::chrono::microseconds{0},
                      pause_max);
}

/// The disk is at work for as long as one of these lives; the outermost counts.
class FileJournal::Busy {
public:
    explicit Busy(FileJournal& journal) noexcept
        : since_us_(journal.busy_since_us_), outermost_(since_us_.load(std::memory_order_relaxed) == 0) {
        if (outermost_) since_us_.store(journal.clock_.mono().time_since_epoch().count(), std::memory_order_release);
    }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() {
        if (outermost_) since_us_.store(0, std::memory_order_release);
    }

private:
    std::atomic<std::int64_t>& since_us_;
    bool outermost_;
};

void FileJournal::run() {
    std::vector<Pending> taken;
    std::size_t from = 0;
    for (;;) {
        bool stopping = false;
        if (from == taken.size()) {
            taken.clear();
            from = 0;
            stopping = !wait_for_work(taken);
        }
        from = work(taken, from);
        if (stopping && from == taken.size()) return;
    }
}

/// One round of what the thread does between waits: at most one batch of `taken`; returns where the next one starts.
std::size_t FileJournal::work(std::vector<Pending>& taken, std::size_t from) {
    if (std::exchange(shipped_changed_, false)) trim();
    if (retry_due()) prepare_spare();
    return from < taken.size() ? commit(taken, from) : from;
}

void FileJournal::step() {
    assert(!thread_.joinable());
    std::vector<Pending> taken;
    {
        const std::lock_guard lock(queue_mutex_);
        take_shipped();
        taken.swap(queue_);
        queue_urgent_ = false;
    }
    std::size_t from = 0;
    do {
        from = work(taken, from);
    } while (from < taken.size());
}

/// Called with queue_mutex_ held.
void FileJournal::take_shipped() {
    if (shipped_asked_ == shipped_) return;
    shipped_ = shipped_asked_;
    shipped_changed_ = true;
}

/// Moves the queue to `taken`; false when there is nothing left and the journal is to stop.
bool FileJournal::wait_for_work(std::vector<Pending>& taken) {
    std::unique_lock lock(queue_mutex_);
    for (;;) {
        take_shipped();
        const auto now = std::chrono::steady_clock::now();
        const bool has_room = !stopping_ && queue_.size() < batch_records_max;
        const bool pauses = has_room && now < paused_until_;
        const auto gathered = queue_since_ + gathering;
        const bool gathers = has_room && !queue_.empty() && !queue_urgent_ && now < gathered;
        if (!queue_.empty() && !pauses && !gathers) {
            taken.swap(queue_);
            queue_urgent_ = false;
            return true;
        }
        if (stopping_) return false;
        if (shipped_changed_ || retry_due()) return true;
        if (pauses) {  // nothing that is appended wakes it
            work_.wait_until(lock, paused_until_);
            continue;
        }
        thread_waits_ = true;
        if (gathers)
            work_.wait_until(lock, gathered);
        else if (spare_ready_ || failed_)
            work_.wait(lock);
        else
            work_.wait_for(lock, retry_poll);
        thread_waits_ = false;
    }
}

bool FileJournal::retry_due() const {
    return !spare_ready_ && !failed_ && clock_.mono() - spare_tried_at_ >= spare_retry;
}

/// Writes one batch of `taken` from `from` on; returns where the next one starts.
std::size_t FileJournal::commit(std::vector<Pending>& taken, std::size_t from) {
    Batch batch;
    std::size_t next = from;
    {
        const Busy busy(*this);
        next = gather(taken, from, batch);
        if (!batch.records.empty()) {
            last_recorded_at_ = std::max(last_recorded_at_, clock_.utc());
            const auto begun = clock_.mono();
            const auto really_begun = std::chrono::steady_clock::now();
            if (auto durable = make_durable(batch, last_recorded_at_); !durable)
                fail(durable.error().message);
            else if (options_.on_commit)
                options_.on_commit(clock_.mono() - begun);
            const auto ended = std::chrono::steady_clock::now();
            paused_until_ = ended + pause_behind(batch.records.size(), ended - really_begun);
        }
    }
    {
        const std::lock_guard lock(queue_mutex_);
        queued_records_ -= next - from;
        for (std::size_t i = from; i < next; ++i) queued_bytes_ -= taken[i].record.payload.size();
    }
    if (batch.records.empty()) return next;
    if (failed_) {
        for (Pending* pending : batch.records)
            refuse(*pending, Errc::unavailable, "the journal in " + options_.directory + " has failed");
        return next;
    }
    publish(batch);
    // After the answers, which do not depend on it: one that a failed write has just used up is made anew at once, one
    // that could not be made when its time has come.
    if (!spare_.ready() && (spare_ready_ || retry_due())) prepare_spare();
    return next;
}

/// Takes the records that fit into one write of the active segment, and refuses those that may not be written now.
std::size_t FileJournal::gather(std::vector<Pending>& taken, std::size_t from, Batch& batch) {
    std::size_t at = from;
    while (at < taken.size() && batch.records.size() < batch_records_max) {
        Pending& pending = taken[at];
        const std::size_t bytes = pending.bytes();
        if (failed_) {
            refuse(pending, Errc::unavailable, "the journal in " + options_.directory + " has failed");
        } else if (!spare_.ready() && pending.record.type != RecordType::access_closed) {
            refuse(pending, Errc::resource_exhausted,
                   "the journal in " + options_.directory + " has no reserved segment");
        } else if (active_.segment->end + batch.bytes + bytes <= active_.bytes) {
            if (!batch.records.empty() && batch.bytes + bytes > batch_bytes_max) break;
            batch.records.push_back(&pending);
            batch.bytes += bytes;
        } else if (!batch.records.empty()) {
            break;
        } else if (!spare_.ready()) {
            refuse(pending, Errc::resource_exhausted, "the journal in " + options_.directory + " has no room left");
        } else {
            if (auto rolled = roll(); rolled)
                prepare_spare();
            else
                fail(rolled.error().message);
            continue;  // the same record is judged anew: there may be no spare now
        }
        ++at;
    }
    return at;
}

/// Writes and syncs the batch; when that fails once, does it again in the spare segment. A second failure is the end.
Result<void> FileJournal::make_durable(const Batch& batch, base::UtcTime now) {
    const auto first = write_batch(batch, now);
    if (first) return {};
    // After a failed sync the kernel forgets what it could not write and answers the next sync with success, so this
    // file is never trusted with this batch again. Readers stop where the next segment starts.
    base::log_error("The journal could not write; the batch is written again to the next segment.",
                    {{"file", active_.segment->path}, {"cause", first.error().message}});
    if (!spare_.ready()) prepare_spare();
    if (auto rolled = roll(); !rolled)
        return Error{rolled.error().code, first.error().message + "; then " + rolled.error().message};
    if (auto second = write_batch(batch, now); !second)
        return Error{second.error().code, first.error().message + "; then " + second.error().message};
    return {};
}

Result<void> FileJournal::write_batch(const Batch& batch, base::UtcTime now) {
    buffer_.clear();
    offsets_.clear();
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        const JournalAppend& append = batch.records[i]->record;
        offsets_.push_back(active_.segment->end + buffer_.size());
        encode_record(
            {next_sequence_ + i, now, append.type, append.access_id, append.payload, static_cast<std::uint16_t>(i)},
            active_.seed, buffer_);
    }
    assert(buffer_.size() == batch.bytes && active_.segment->end + batch.bytes <= active_.bytes);
    if (auto written = active_.file->write_at(active_.segment->end, buffer_); !written) return written;
    return active_.file->sync();
}

void FileJournal::publish(const Batch& batch) {
    const std::uint64_t first = next_sequence_;
    next_sequence_ += batch.records.size();
    {
        const std::lock_guard lock(state_mutex_);
        Segment& segment = *active_.segment;
        for (std::size_t i = 0; i < offsets_.size(); ++i) segment.mark(first + i, offsets_[i]);
        segment.last = next_sequence_ - 1;
        segment.end += batch.bytes;
    }
    for (std::size_t i = 0; i < batch.records.size(); ++i) follow(batch.records[i]->record, first + i);
    open_count_ = open_accesses_.size();
    {
        const std::lock_guard lock(durable_mutex_);
        durable_.store(next_sequence_ - 1, std::memory_order_release);
    }
    durable_grew_.notify_all();
    for (std::size_t i = 0; i < batch.records.size(); ++i)
        if (auto& done = batch.records[i]->done) done(first + i);
    listeners_.run();
}

/// Keeps the latest event of each open access, which holds its segment.
void FileJournal::follow(const JournalAppend& record, std::uint64_t sequence) {
    const bool closes = record.type == RecordType::access_closed;
    if (!closes && record.type != RecordType::access_opened && record.type != RecordType::access_progress) return;
    const auto known = open_accesses_.find(record.access_id);
    if (known != open_accesses_.end()) --known->second.segment->open_accesses;
    if (closes) {
        if (known != open_accesses_.end()) open_accesses_.erase(known);
        return;
    }
    ++active_.segment->open_accesses;
    open_accesses_.insert_or_assign(record.access_id, LatestEvent{sequence, active_.segment});
}

/// Makes the spare the active segment, and tries a new spare once when that one fails.
Result<void> FileJournal::roll() {
    const SegmentHeader header{gateway_, next_sequence_, clock_.utc()};
    auto activated = spare_.activate(header);
    if (!activated) {
        const std::string first = activated.error().message;
        base::log_error("The journal's reserved segment could not be used; another one is tried.", {{"cause", first}});
        if (auto ready = spare_.prepare(); !ready)
            return Error{ready.error().code, first + "; then " + ready.error().message};
        activated = spare_.activate(header);
        if (!activated) return Error{activated.error().code, first + "; then " + activated.error().message};
    }
    auto segment = std::make_shared<Segment>();
    segment->path = activated->path;
    segment->first = next_sequence_;
    segment->last = next_sequence_ - 1;
    segment->end = header_bytes;
    {
        const std::lock_guard lock(state_mutex_);
        // One without a durable record had the same name and has just been replaced.
        if (segments_.back()->first == next_sequence_) segments_.pop_back();
        segments_.push_back(segment);
    }
    active_ = {std::move(activated->file), std::move(segment), activated->bytes, header.seed()};
    return {};
}

void FileJournal::prepare_spare() {
    if (failed_) return;
    const Busy busy(*this);
    spare_tried_at_ = clock_.mono();
    auto ready = spare_.prepare();
    std::string problem;
    if (!ready)
        problem =
            "no reserved segment of " + std::to_string(options_.segment_bytes) + " bytes: " + ready.error().message;
    spare_ready_ = ready.ok();
    bool was_well = false;
    {
        const std::lock_guard lock(state_mutex_);
        was_well = problem_.empty();
        problem_ = problem;
    }
    if (!ready && was_well)
        base::log_error(
            "The journal has no reserved segment: only records that close an access are taken until it can be made.",
            {{"directory", options_.directory}, {"cause", problem}});
    else if (ready && !was_well)
        base::log_info("The journal has its reserved segment again.", {{"directory", options_.directory}});
}

void FileJournal::fail(const std::string& why) {
    base::log_error("The journal has failed; no access can be recorded until the gateway is started again.",
                    {{"cause", why}});
    {
        const std::lock_guard lock(state_mutex_);
        problem_ = "the journal has failed: " + why;
    }
    failed_ = true;
}

void FileJournal::refuse(Pending& pending, Errc code, const std::string& why) {
    if (pending.done) pending.done(Error{code, why});
}

/// Removes shipped segments from the front, one at a time and each durably: a hole would be damage to the next start.
void FileJournal::trim() {
    while (!trim_broken_) {
        const Busy busy(*this);
        std::shared_ptr<Segment> oldest;
        {
            const std::lock_guard lock(state_mutex_);
            const auto kept = std::find_if(segments_.begin(), std::prev(segments_.end()),
                                           [&](const auto& segment) { return segment->last > shipped_; });
            const auto shipped = static_cast<std::size_t>(kept - segments_.begin());
            if (shipped <= options_.keep_shipped_segments || segments_.front()->open_accesses != 0) return;
            oldest = segments_.front();
            segments_.pop_front();
        }
        auto removed = disk_.unlink(oldest->path);
        if (!removed) {
            base::log_error("A shipped journal segment could not be removed.", {{"cause", removed.error().message}});
            const std::lock_guard lock(state_mutex_);
            segments_.push_front(std::move(oldest));
            return;
        }
        if (auto synced = disk_.sync_directory(options_.directory); !synced) {
            base::log_error("Journal segments are not removed any more, because a removal could not be made durable.",
                            {{"cause", synced.error().message}});
            trim_broken_ = true;
        }
        if (!spare_ready_) prepare_spare();  // there is room now
    }
}

}  // namespace usher::audit::journal
