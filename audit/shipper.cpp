#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "audit/audit.hpp"
#include "audit/ship.hpp"
#include "base/log.hpp"

namespace usher::audit {
namespace {

constexpr base::Microseconds backoff_first{100'000};
constexpr base::Microseconds backoff_last{10'000'000};
constexpr base::Microseconds idle_wait{500'000};
constexpr base::Microseconds parked_alarm_interval{10'000'000};
/// A transaction costs the same for one record as for a hundred, its syncs keep the journal's waiting, and an access
/// whose end comes within the same one is written once: so a batch that was not full gives the next one time.
constexpr base::Microseconds gathering{500'000};

class RunningShipper final : public Shipper {
public:
    RunningShipper(Journal& journal, Store& store, const base::Clock& clock)
        : journal_(journal),
          clock_(clock),
          shipment_(journal, store,
                    [this](const JournalRecord& record, const base::Error& why) { parked(record, why); }) {
        thread_ = std::thread([this] {
            pthread_setname_np(pthread_self(), "shipper");
            run();
        });
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

    /// An alarm each, but no flood of them: one that is held back is in the next one's count.
    void parked(const JournalRecord& record, const base::Error& why) {
        ++parked_untold_;
        if (parked_told_at_ && clock_.mono() - *parked_told_at_ < parked_alarm_interval) return;
        base::log_error(
            "the store refuses an audit record; it is parked, and the others go on: look at 'usherctl audit parked "
            "list', mend the cause, then 'usherctl audit parked retry'",
            {{"gateway_id", journal_.gateway_id().to_string()},
             {"sequence", record.sequence},
             {"parked", parked_untold_},
             {"error", why.message}});
        parked_told_at_ = clock_.mono();
        parked_untold_ = 0;
    }

    void recovered() {
        std::lock_guard lock(mutex_);
        if (!error_.empty()) base::log_info("audit events are shipped to the store again");
        error_.clear();
    }

    void run() {
        base::Microseconds backoff = backoff_first;
        while (!stopping()) {
            const auto shipped = shipment_.ship_batch();
            if (shipped) recovered();  // before those who wait for the batch go on
            if (shipment_.shipped() != shipped_) set_shipped(shipment_.shipped());
            if (!shipped) {
                failed(shipped.error());
                if (pause(backoff)) return;
                backoff = std::min(backoff * 2, backoff_last);
                continue;
            }
            backoff = backoff_first;
            if (*shipped == 0) journal_.wait_beyond(shipped_.load(), idle_wait);
            const bool all_there_was = *shipped < Shipment::batch_records && !shipment_.cut_short();
            if (*shipped > 0 && all_there_was && gather()) return;
        }
    }

    Journal& journal_;
    const base::Clock& clock_;
    // The thread's own:
    std::optional<base::MonoTime> parked_told_at_;
    std::uint64_t parked_untold_ = 0;
    Shipment shipment_;

    mutable std::mutex mutex_;
    std::condition_variable wake_, progressed_;
    std::atomic<std::uint64_t> shipped_{0};
    std::string error_;
    bool stopping_ = false;
    std::uint64_t wanted_ = 0;  ///< the last that somebody waits for
    std::thread thread_;
};

}  // namespace

std::unique_ptr<Shipper> Shipper::start(Journal& journal, Store& store, const base::Clock& clock) {
    return std::make_unique<RunningShipper>(journal, store, clock);
}

ShippingLag shipping_lag(const Journal& journal, const Shipper& shipper, base::UtcTime now) {
    ShippingLag lag;
    const std::uint64_t shipped = shipper.shipped_sequence();
    const auto status = journal.status();
    if (status.durable_sequence <= shipped) return lag;
    lag.events = status.durable_sequence - shipped;
    // Before the store has been asked where it stands, it is the journal's oldest.
    const std::uint64_t after = std::max(shipped, status.first_sequence - 1);
    const auto oldest = journal.read(after, 1, 1);
    if (oldest && !oldest->empty()) lag.age = std::max(base::Microseconds{0}, now - oldest->front().recorded_at);
    return lag;
}

}  // namespace usher::audit
