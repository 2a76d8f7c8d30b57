#include "audit/sinks/sinks.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "audit/filter.hpp"
#include "audit/sinks/backoff.hpp"
#include "audit/sinks/forwarding.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"

namespace usher::audit::sinks {

using base::Errc;
using base::Error;
using base::Microseconds;
using base::Result;

namespace {

/// How often it is looked whether the store has more; that is one read of an atomic number.
constexpr Microseconds look_interval{200'000};
/// A batch that was not full gives the next one time: each costs the receiver a connection.
constexpr Microseconds gathering{1'000'000};
/// Another gateway of the same database may have been asked to have records of this one tried again.
constexpr Microseconds retry_interval{10'000'000};
constexpr Microseconds alarm_interval{600'000'000};
constexpr Microseconds parked_alarm_interval{10'000'000};

std::uint32_t random_number() {
    std::array<std::uint8_t, 4> bytes{};
    base::random_bytes(bytes);
    return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
           static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
}

}  // namespace

struct Sinks::Shared {
    explicit Shared(Dependencies d) : dependencies(std::move(d)), store(dependencies.database, dependencies.clock) {}
    const Dependencies dependencies;
    SinkStore store;
};

/// One sink: its thread, and what is known of it.
class Sinks::Forwarder {
public:
    Forwarder(Shared& shared, Settings settings, Filter filter, std::unique_ptr<Outlet> outlet)
        : shared_(shared),
          settings_(std::move(settings)),
          outlet_(std::move(outlet)),
          forwarding_(settings_.name, shared.dependencies.gateway, std::move(filter), shared.dependencies.store,
                      shared.store, *outlet_,
                      {[this](std::size_t events) { delivered(events); },
                       [this](std::uint64_t sequence, const Error&) { parked(sequence); },
                       [this](std::uint64_t records) { missing(records); }}),
          retry_at_(clock().mono()),
          thread_([this] {
              pthread_setname_np(pthread_self(), "sink");
              run();
          }) {}

    ~Forwarder() {
        request_stop();
        if (thread_.joinable()) thread_.join();
    }

    void request_stop() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        outlet_->stop();
        wake_.notify_all();
    }

    void look_for_retries() {
        {
            std::lock_guard lock(mutex_);
            retries_asked_ = true;
        }
        wake_.notify_all();
    }

    Status status() const {
        Status out;
        const auto now = clock().utc();
        const std::uint64_t shipped = shared_.dependencies.shipped();
        std::lock_guard lock(mutex_);
        out.settings = settings_;
        out.forwarded_sequence = cursor_;
        out.lag_records = shipped > cursor_ ? shipped - cursor_ : 0;
        if (out.lag_records > 0 && oldest_) out.lag = std::max(Microseconds{0}, now - *oldest_);
        out.error = error_;
        out.failing_since = failing_since_;
        out.delivered = delivered_;
        out.failures = failures_;
        out.missing = missing_;
        out.parked = parked_;
        return out;
    }

    bool wait_forwarded(std::uint64_t sequence, std::chrono::steady_clock::time_point until) {
        std::unique_lock lock(mutex_);
        wanted_ = std::max(wanted_, sequence);
        wake_.notify_all();
        return progressed_.wait_until(lock, until, [&] {
            return cursor_ >= sequence || !error_.empty() || stopping_;
        }) && cursor_ >= sequence;
    }

private:
    const base::Clock& clock() const { return shared_.dependencies.clock; }

    // -- what the forwarding tells, on the thread

    void delivered(std::size_t events) {
        {
            std::lock_guard lock(mutex_);
            delivered_ += events;
        }
        shared_.dependencies.on_delivered(settings_.name, events);
    }

    /// An alarm each, but no flood of them: one that is held back is in the next one's count. The reason is in the list
    /// alone: a receiver may quote the record in it.
    void parked(std::uint64_t sequence) {
        recount_ = true;
        ++parked_untold_;
        const auto now = clock().mono();
        if (parked_told_at_ && now - *parked_told_at_ < parked_alarm_interval) return;
        base::log_error(
            "a sink does not take an audit record; it is parked, and the others go on: look at 'usherctl sink "
            "parked list', mend the cause, then 'usherctl sink parked retry'",
            {{"sink", settings_.name}, {"sequence", sequence}, {"parked", parked_untold_}});
        parked_told_at_ = now;
        parked_untold_ = 0;
    }

    void missing(std::uint64_t records) {
        base::log_warning("audit records were removed by retention before they were forwarded",
                          {{"sink", settings_.name}, {"records", records}});
        std::lock_guard lock(mutex_);
        missing_ += records;
    }

    // -- the thread

    bool stopping() const {
        std::lock_guard lock(mutex_);
        return stopping_;
    }

    /// True when told to stop.
    bool pause(Microseconds duration) {
        std::unique_lock lock(mutex_);
        return wake_.wait_for(lock, duration, [&] { return stopping_; });
    }

    /// Waits until the store has more than the sink, or there may be something to try again. True when told to stop.
    bool wait_for_work() {
        std::unique_lock lock(mutex_);
        while (!stopping_ && !retries_asked_ && clock().mono() < retry_at_) {
            lock.unlock();
            const bool more = shared_.dependencies.shipped() > forwarding_.cursor();
            lock.lock();
            if (more) break;
            wake_.wait_for(lock, look_interval);
        }
        return stopping_;
    }

    /// Lets records gather, unless somebody waits for them. True when told to stop.
    bool gather() {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, gathering, [&] { return stopping_ || wanted_ > cursor_; });
        return stopping_;
    }

    void note_progress() {
        {
            std::lock_guard lock(mutex_);
            cursor_ = forwarding_.cursor();
            oldest_ = forwarding_.oldest();
        }
        progressed_.notify_all();
    }

    void failed(const Error& error) {
        const std::string what = (forwarding_.receiver_failed() ? "" : "the store: ") + error.message;
        const auto now = clock().mono();
        {
            std::lock_guard lock(mutex_);
            if (stopping_) return;
            if (!failing_since_) failing_since_ = clock().utc();
            error_ = what;
            ++failures_;
        }
        progressed_.notify_all();
        shared_.dependencies.on_failure(settings_.name);
        if (alarmed_at_ && now - *alarmed_at_ < alarm_interval) return;
        alarmed_at_ = now;
        const auto is = status();
        base::log_error("audit records cannot be forwarded to a sink; they wait in the store",
                        {{"sink", settings_.name},
                         {"address", settings_.address()},
                         {"lag_records", is.lag_records},
                         {"lag_seconds", is.lag ? is.lag->count() / 1'000'000 : 0},
                         {"error", what}});
    }

    void recovered() {
        alarmed_at_.reset();
        std::lock_guard lock(mutex_);
        if (!error_.empty()) base::log_info("audit records are forwarded to a sink again", {{"sink", settings_.name}});
        error_.clear();
        failing_since_.reset();
    }

    Result<void> count_parked() {
        auto counted = shared_.store.count_parked(settings_.name, shared_.dependencies.gateway);
        if (!counted) return std::move(counted).error();
        recount_ = false;
        std::lock_guard lock(mutex_);
        parked_ = *counted;
        return {};
    }

    /// Whether it is time, or somebody has asked.
    bool retries_due() {
        std::lock_guard lock(mutex_);
        return std::exchange(retries_asked_, false) || clock().mono() >= retry_at_;
    }

    /// What there is to do now. Returns how many records were forwarded.
    Result<std::size_t> work() {
        if (retries_due()) {
            retry_at_ = clock().mono() + retry_interval;
            auto tried = forwarding_.retry_parked();
            if (!tried) {
                recount_ = true;
                return std::move(tried).error();
            }
            if (*tried > 0) {
                recount_ = true;
                retry_at_ = clock().mono();  // there may be more of them than one call tries
            }
        }
        auto forwarded = forwarding_.forward_batch();
        note_progress();
        if (!forwarded) return forwarded;
        if (recount_)
            if (auto counted = count_parked(); !counted) return std::move(counted).error();
        return forwarded;
    }

    void run() {
        Backoff backoff;
        while (!stopping()) {
            const auto forwarded = work();
            if (!forwarded) {
                failed(forwarded.error());
                const auto wanted = forwarding_.receiver_failed() ? outlet_->pause() : Microseconds{0};
                if (pause(std::max(backoff.next(random_number()), wanted))) return;
                continue;
            }
            backoff.reset();
            recovered();
            const bool all_there_was = *forwarded < Forwarding::batch_records;
            if (*forwarded > 0 && all_there_was && gather()) return;
            if (wait_for_work()) return;
        }
    }

    Shared& shared_;
    const Settings settings_;
    const std::unique_ptr<Outlet> outlet_;
    // The thread's own:
    Forwarding forwarding_;
    std::optional<base::MonoTime> parked_told_at_, alarmed_at_;
    std::uint64_t parked_untold_ = 0;
    bool recount_ = true;
    base::MonoTime retry_at_;

    mutable std::mutex mutex_;
    std::condition_variable wake_, progressed_;
    std::uint64_t cursor_ = 0, wanted_ = 0, delivered_ = 0, failures_ = 0, missing_ = 0, parked_ = 0;
    std::optional<base::UtcTime> oldest_, failing_since_;
    std::string error_;
    bool stopping_ = false, retries_asked_ = false;
    std::thread thread_;
};

Sinks::Sinks() = default;

Sinks::~Sinks() { stop(); }

Result<std::unique_ptr<Sinks>> Sinks::start(const std::vector<Settings>& settings, Dependencies dependencies,
                                            const MakeOutlet& make) {
    std::unique_ptr<Sinks> sinks(new Sinks());
    sinks->shared_ = std::make_unique<Shared>(std::move(dependencies));
    for (const auto& each : settings) {
        const auto wrong = [&](const Error& error) {
            return Error{error.code, "the sink '" + each.name + "': " + error.message};
        };
        auto filter = Filter::parse(each.filter);
        if (!filter) return wrong(filter.error());
        auto outlet = make(each);
        if (!outlet) return wrong(outlet.error());
        sinks->forwarders_.push_back(
            std::make_unique<Forwarder>(*sinks->shared_, each, std::move(*filter), std::move(*outlet)));
    }
    return sinks;
}

std::vector<Status> Sinks::status() const {
    std::vector<Status> out;
    for (const auto& forwarder : forwarders_) out.push_back(forwarder->status());
    return out;
}

SinkStore& Sinks::store() noexcept { return shared_->store; }

void Sinks::look_for_retries() {
    for (const auto& forwarder : forwarders_) forwarder->look_for_retries();
}

bool Sinks::wait_forwarded(std::uint64_t sequence, Microseconds timeout) {
    const auto until = std::chrono::steady_clock::now() + timeout;
    bool all = true;
    for (const auto& forwarder : forwarders_) all = forwarder->wait_forwarded(sequence, until) && all;
    return all;
}

void Sinks::stop() {
    for (const auto& forwarder : forwarders_) forwarder->request_stop();  // all at once, then each is waited for
    forwarders_.clear();
}

}  // namespace usher::audit::sinks
