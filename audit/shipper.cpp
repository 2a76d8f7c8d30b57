#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "audit/audit.hpp"
#include "base/log.hpp"

namespace usher::audit {
namespace {

constexpr std::size_t batch_records = 1000;
constexpr std::size_t batch_bytes = 1u << 20;
constexpr base::Microseconds backoff_first{100'000};
constexpr base::Microseconds backoff_last{10'000'000};
constexpr base::Microseconds idle_wait{500'000};
/// A transaction costs the same for one record as for a hundred, its syncs keep the journal's waiting, and an access
/// whose end comes within the same one is written once: so a batch that was not full gives the next one time.
constexpr base::Microseconds gathering{500'000};

class RunningShipper final : public Shipper {
public:
    RunningShipper(Journal& journal, Store& store)
        : journal_(journal), store_(store), durable_at_start_(journal.durable_sequence()) {
        thread_ = std::thread([this] { run(); });
    }
    ~RunningShipper() override {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        thread_.join();
    }

    std::uint64_t shipped_sequence() const noexcept override { return shipped_.load(std::memory_order_acquire); }

    std::string last_error() const override {
        std::lock_guard lock(mutex_);
        return error_;
    }

    bool wait_shipped(std::uint64_t sequence, base::Microseconds timeout) override {
        std::unique_lock lock(mutex_);
        wanted_ = std::max(wanted_, sequence);
        wake_.notify_all();
        return progressed_.wait_for(lock, timeout, [&] { return shipped_.load() >= sequence; });
    }

private:
    bool stopping() const {
        std::lock_guard lock(mutex_);
        return stopping_;
    }

    /// True when told to stop.
    bool pause(base::Microseconds duration) {
        std::unique_lock lock(mutex_);
        return wake_.wait_for(lock, duration, [&] { return stopping_; });
    }

    /// Lets records gather, unless somebody waits for them. True when told to stop.
    bool gather() {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, gathering, [&] { return stopping_ || wanted_ > shipped_.load(); });
        return stopping_;
    }

    void set_shipped(std::uint64_t sequence) {
        {
            std::lock_guard lock(mutex_);
            shipped_.store(sequence, std::memory_order_release);
        }
        progressed_.notify_all();
    }

    void failed(const base::Error& error) {
        std::lock_guard lock(mutex_);
        if (error_.empty())
            base::log_error("audit events cannot be shipped to the store; they wait in the journal",
                            {{"error", error.message}});
        error_ = error.message;
    }

    void recovered() {
        std::lock_guard lock(mutex_);
        if (!error_.empty()) base::log_info("audit events are shipped to the store again");
        error_.clear();
    }

    base::Result<void> ship_one_batch(std::size_t& shipped) {
        shipped = 0;
        if (!know_watermark_) {
            auto watermark = store_.watermark(journal_.gateway_id());
            if (!watermark) return watermark.error();
            // What this process appends must not hide it: so it is the end at the start that counts, until the store
            // has once been seen behind it. A trimmed journal would lose what was never shipped.
            if (!follows_store_ && *watermark > durable_at_start_)
                return base::Error{base::Errc::failed_precondition,
                                   "the store has the events of gateway " + journal_.gateway_id().to_string() +
                                       " up to " + std::to_string(*watermark) + ", its journal ended at " +
                                       std::to_string(durable_at_start_) + ": an old copy of it?"};
            follows_store_ = true;
            know_watermark_ = true;
            set_shipped(*watermark);
            journal_.mark_shipped(*watermark);
        }
        auto records = journal_.read(shipped_.load(), batch_records, batch_bytes);
        if (!records) return records.error();
        if (records->empty()) return {};
        auto ingested = store_.ingest(journal_.gateway_id(), *records);
        if (!ingested) {
            // After a commit whose outcome is not known the store is asked where it stands.
            know_watermark_ = false;
            return ingested;
        }
        shipped = records->size();
        recovered();  // before those who wait for the batch go on
        set_shipped(records->back().sequence);
        journal_.mark_shipped(records->back().sequence);
        return {};
    }

    void run() {
        base::Microseconds backoff = backoff_first;
        while (!stopping()) {
            std::size_t shipped = 0;
            auto result = ship_one_batch(shipped);
            if (!result) {
                failed(result.error());
                if (pause(backoff)) return;
                backoff = std::min(backoff * 2, backoff_last);
                continue;
            }
            recovered();
            backoff = backoff_first;
            if (shipped == 0) journal_.wait_beyond(shipped_.load(), idle_wait);
            if (shipped > 0 && shipped < batch_records && gather()) return;
        }
    }

    Journal& journal_;
    Store& store_;
    mutable std::mutex mutex_;
    std::condition_variable wake_, progressed_;
    std::atomic<std::uint64_t> shipped_{0};
    std::string error_;
    bool stopping_ = false;
    std::uint64_t wanted_ = 0;  ///< the last that somebody waits for
    const std::uint64_t durable_at_start_;
    bool know_watermark_ = false;  // the thread's own, as is the next
    bool follows_store_ = false;
    std::thread thread_;
};

}  // namespace

std::unique_ptr<Shipper> Shipper::start(Journal& journal, Store& store, const base::Clock&) {
    return std::make_unique<RunningShipper>(journal, store);
}

}  // namespace usher::audit
