#include "gateway/upgrade/handover_journal.hpp"

#include <condition_variable>
#include <future>
#include <thread>
#include <utility>

namespace usher::gateway::upgrade {
namespace {
using base::Errc;
using base::Result;

constexpr auto release_poll = std::chrono::milliseconds{1};
}  // namespace

HandoverJournal::HandoverJournal(std::unique_ptr<audit::Journal> own, const base::Clock& clock,
                                 base::Microseconds stall_limit, std::size_t waiting_max)
    : gateway_(own->gateway_id()),
      clock_(clock),
      stall_limit_(stall_limit),
      waiting_max_(waiting_max),
      own_(std::move(own)) {}

HandoverJournal::~HandoverJournal() { fail("the journal is closing"); }

std::shared_ptr<audit::Journal> HandoverJournal::own() const {
    std::lock_guard lock(mutex_);
    return own_;
}

void HandoverJournal::freeze() {
    std::shared_ptr<audit::Journal> closing;
    {
        std::lock_guard lock(mutex_);
        if (place_ != Place::here) return;
        place_ = Place::under_way;
        durable_ = own_->durable_sequence();
        closing = std::move(own_);
    }
    // Whoever is inside an append() of it holds it for a moment longer. It must not end on such a thread, which may be
    // its own.
    while (closing.use_count() > 1) std::this_thread::sleep_for(release_poll);  // polling, not synchronization
    closing.reset();
}

void HandoverJournal::thaw(std::unique_ptr<audit::Journal> own) {
    std::shared_ptr<audit::Journal> here(std::move(own));
    // What waited goes first, so own_ is set when nothing waits any more. Nothing is called back under the lock.
    for (;;) {
        std::map<std::uint64_t, Waiting> waited;
        {
            std::lock_guard lock(mutex_);
            if (waiting_.empty()) {
                place_ = Place::here;
                own_ = std::move(here);
                return;
            }
            waited.swap(waiting_);
        }
        for (auto& [number, entry] : waited) here->append(std::move(entry.record), std::move(entry.done));
    }
}

void HandoverJournal::follow(Send send) {
    std::lock_guard lock(mutex_);
    place_ = Place::away;
    send_ = std::move(send);
    heard_at_ = clock_.mono();
    for (auto& [number, entry] : waiting_) {
        // A link that has ended says so by fail().
        entry.sent = send_(number, entry.record);
        entry.record = {};
    }
}

void HandoverJournal::answer(std::uint64_t number, Result<std::uint64_t> result) {
    Done done;
    {
        std::lock_guard lock(mutex_);
        const auto found = waiting_.find(number);
        if (found == waiting_.end() || !found->second.sent) return;
        done = std::move(found->second.done);
        waiting_.erase(found);
        if (result) durable_ = std::max(durable_, *result);
    }
    if (done) done(std::move(result));
    answered_.notify_all();
}

void HandoverJournal::set_health(bool healthy, std::string problem) {
    std::lock_guard lock(mutex_);
    healthy_ = healthy;
    problem_ = std::move(problem);
    heard_at_ = clock_.mono();
}

void HandoverJournal::fail(const std::string& why) {
    std::map<std::uint64_t, Waiting> waiting;
    {
        std::lock_guard lock(mutex_);
        if (place_ == Place::here) return;
        place_ = Place::nowhere;
        problem_ = why;
        send_ = {};
        waiting.swap(waiting_);
    }
    refuse(std::move(waiting), why);
    answered_.notify_all();
}

void HandoverJournal::refuse(std::map<std::uint64_t, Waiting> waiting, const std::string& why) {
    for (auto& [number, entry] : waiting)
        if (entry.done) entry.done({Errc::unavailable, why});
}

bool HandoverJournal::wait_answered(base::Microseconds limit) {
    std::unique_lock lock(mutex_);
    return answered_.wait_for(lock, limit, [&] { return waiting_.empty(); });
}

void HandoverJournal::append(audit::JournalAppend record, Done done) {
    if (const auto here = own()) return here->append(std::move(record), std::move(done));
    base::Error refused{Errc::unavailable, {}};
    {
        std::lock_guard lock(mutex_);
        if (place_ == Place::here) {
            // It came back between the two looks; with own_ set nothing waits.
        } else if (place_ == Place::nowhere) {
            refused.message = problem_;
        } else if (record.type != audit::RecordType::access_closed && waiting_.size() >= waiting_max_) {
            refused = {Errc::resource_exhausted, "the journal's queue is full"};
        } else {
            const auto number = next_++;
            auto& entry = waiting_[number];
            entry = {std::move(record), std::move(done), clock_.mono()};
            if (place_ == Place::away) {
                entry.sent = send_(number, entry.record);
                entry.record = {};
            }
            return;
        }
    }
    if (!refused.message.empty()) {
        if (done) done(std::move(refused));
        return;
    }
    append(std::move(record), std::move(done));
}

Result<std::uint64_t> HandoverJournal::append_and_wait(audit::JournalAppend record) {
    std::promise<Result<std::uint64_t>> promise;
    auto answer = promise.get_future();
    append(std::move(record), [&promise](Result<std::uint64_t> result) { promise.set_value(std::move(result)); });
    return answer.get();
}

audit::JournalStatus HandoverJournal::status() const {
    if (const auto here = own()) return here->status();
    std::lock_guard lock(mutex_);
    audit::JournalStatus status;
    status.durable_sequence = durable_;
    status.queued = waiting_.size();
    const auto now = clock_.mono();
    const bool silent = place_ == Place::away && heard_at_ && now - *heard_at_ > stall_limit_;
    const bool slow = !waiting_.empty() && now - waiting_.begin()->second.since > stall_limit_;
    status.healthy = place_ != Place::nowhere && healthy_ && !silent && !slow;
    if (!status.healthy)
        status.problem = silent || slow ? "the process that has the journal does not answer" : problem_;
    return status;
}

std::uint64_t HandoverJournal::durable_sequence() const noexcept {
    if (const auto here = own()) return here->durable_sequence();
    std::lock_guard lock(mutex_);
    return durable_;
}

std::uint64_t HandoverJournal::wait_beyond(std::uint64_t after, base::Microseconds timeout) const {
    if (const auto here = own()) return here->wait_beyond(after, timeout);
    return durable_sequence();
}

std::uint64_t HandoverJournal::add_listener(std::function<void()> listener) {
    const auto here = own();
    return here ? here->add_listener(std::move(listener)) : 0;
}

void HandoverJournal::remove_listener(std::uint64_t id) {
    if (const auto here = own()) here->remove_listener(id);
}

Result<std::vector<audit::JournalRecord>> HandoverJournal::read(std::uint64_t after, std::size_t max_records,
                                                                std::size_t max_bytes) const {
    if (const auto here = own()) return here->read(after, max_records, max_bytes);
    return {Errc::unavailable, "another process has the journal"};
}

void HandoverJournal::mark_shipped(std::uint64_t sequence) {
    if (const auto here = own()) here->mark_shipped(sequence);
}

std::vector<audit::JournalRecord> HandoverJournal::take_open_accesses() {
    const auto here = own();
    return here ? here->take_open_accesses() : std::vector<audit::JournalRecord>{};
}

}  // namespace usher::gateway::upgrade
