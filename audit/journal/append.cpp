#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "audit/journal/file_journal.hpp"

// What callers do: queue, ask and wait.
namespace usher::audit::journal {

using base::Errc;
using base::Result;

namespace {
/// Keeps a deadline of "forever" from overflowing.
constexpr base::Microseconds wait_max = std::chrono::hours{24};
}  // namespace

bool FileJournal::stalled() const noexcept {
    const auto since = busy_since_us_.load(std::memory_order_acquire);
    return since != 0 && clock_.mono().time_since_epoch().count() - since > options_.stall_limit.count();
}

/// Called with queue_mutex_ held.
Result<void> FileJournal::admit(const JournalAppend& record) const {
    if (failed_) return {Errc::unavailable, "the journal in " + options_.directory + " has failed"};
    if (stopping_) return {Errc::unavailable, "the journal is closing"};
    if (record.payload.size() > payload_max_)
        return {Errc::invalid_argument, "a journal record of " + std::to_string(record.payload.size()) +
                                            " bytes; at most " + std::to_string(payload_max_) + " are allowed"};
    // What closes an access was admitted with it: it gets twice the room, and is never refused for what only lasts.
    const bool closes = record.type == RecordType::access_closed;
    if (!closes && !spare_ready_)
        return {Errc::resource_exhausted, "the journal in " + options_.directory + " has no reserved segment"};
    if (!closes && stalled())
        return {Errc::unavailable, "the disk of the journal in " + options_.directory + " does not answer"};
    const std::size_t room = closes ? 2 : 1;
    if (queued_records_ >= room * options_.queue_records ||
        queued_bytes_ + record.payload.size() > room * options_.queue_bytes)
        return {Errc::resource_exhausted, "the journal's queue is full"};
    return {};
}

void FileJournal::append(JournalAppend record, Done done) {
    Result<void> admitted;
    bool wake = false;
    {
        const std::lock_guard lock(queue_mutex_);
        admitted = admit(record);
        if (admitted) {
            ++queued_records_;
            queued_bytes_ += record.payload.size();
            const bool first = queue_.empty();
            const bool presses = !record.can_wait && !queue_urgent_;
            if (first) queue_since_ = std::chrono::steady_clock::now();
            if (presses) queue_urgent_ = true;
            queue_.push_back({std::move(record), std::move(done)});
            // The thread that waits for more to come is left alone until there is something that cannot wait.
            wake = (first || presses) && std::exchange(thread_waits_, false);
        }
    }
    if (wake) work_.notify_one();
    if (!admitted && done) done(std::move(admitted).error());
}

Result<std::uint64_t> FileJournal::append_and_wait(JournalAppend record) {
    std::promise<Result<std::uint64_t>> promise;
    auto answer = promise.get_future();
    append(std::move(record), [&promise](Result<std::uint64_t> result) { promise.set_value(std::move(result)); });
    if (!thread_.joinable()) step();
    return answer.get();
}

JournalStatus FileJournal::status() const {
    JournalStatus status;
    status.durable_sequence = durable_sequence();
    status.open_accesses = open_count_;
    status.healthy = !failed_ && spare_ready_;
    {
        const std::lock_guard lock(queue_mutex_);
        status.queued = queued_records_;
    }
    {
        const std::lock_guard lock(state_mutex_);
        status.first_sequence = segments_.front()->first;
        if (!status.healthy) status.problem = problem_;
    }
    if (status.healthy && stalled()) {
        status.healthy = false;
        status.problem = "the disk of " + options_.directory + " has not answered a write for longer than " +
                         std::to_string(options_.stall_limit.count()) + " us";
    }
    return status;
}

std::uint64_t FileJournal::wait_beyond(std::uint64_t after, base::Microseconds timeout) const {
    std::unique_lock lock(durable_mutex_);
    ++waiters_;
    durable_grew_.wait_for(lock, std::min(timeout, wait_max), [&] { return durable_sequence() > after || closing_; });
    if (--waiters_ == 0 && closing_) waiters_left_.notify_all();
    return durable_sequence();
}

void FileJournal::mark_shipped(std::uint64_t sequence) {
    {
        const std::lock_guard lock(queue_mutex_);
        if (sequence <= shipped_asked_) return;
        shipped_asked_ = sequence;
        thread_waits_ = false;
    }
    work_.notify_one();
}

std::vector<JournalRecord> FileJournal::take_open_accesses() {
    const std::lock_guard lock(state_mutex_);
    return std::exchange(found_open_, {});
}

}  // namespace usher::audit::journal
