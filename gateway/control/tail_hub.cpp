#include <pthread.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/log.hpp"
#include "gateway/control/status.hpp"
#include "gateway/control/tail.hpp"

namespace usher::gateway::control {
namespace {

constexpr std::size_t tail_threads = 4;
/// Under load the journal grows thousands of times a second; the streams are woken at most this often.
constexpr std::chrono::milliseconds wake_interval{5};
/// What there is for many is looked at less often, so that they are woken for more of it at a time.
constexpr std::size_t many_streams = 16, wake_intervals_max = 5;
/// An answer about the others that takes longer is not waited for.
constexpr std::chrono::seconds looking_max{2};
/// How long the hub waits for the journal before it looks at heartbeats, callers and its own end again.
constexpr std::chrono::milliseconds look_interval{100};

}  // namespace

TailHub::TailHub(audit::Journal& journal, audit::Store& store, const base::Clock& clock, const TailLimits& limits)
    : journal_(journal),
      store_(store),
      clock_(clock),
      limits_(limits),
      recent_(journal, store, clock),
      executor_(tail_threads, tail_subscribers_max * 2, "tail-read"),
      thread_([this] {
          pthread_setname_np(pthread_self(), "tail");
          run();
      }) {}

TailHub::~TailHub() {
    stop();
    {
        std::lock_guard lock(mutex_);
        closed_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

bool TailHub::add(const std::shared_ptr<TailStream>& stream) {
    {
        std::lock_guard lock(mutex_);
        if (stopping_ || streams_.size() >= tail_subscribers_max || leaving_.size() >= tail_subscribers_max)
            return false;
        streams_.insert(stream);
        if (limits_.on_subscribers) limits_.on_subscribers(streams_.size());
    }
    changed_.notify_all();
    return true;
}

void TailHub::remove(const std::shared_ptr<TailStream>& stream) {
    std::lock_guard lock(mutex_);
    streams_.erase(stream);
    leaving_.erase(stream);
    if (limits_.on_subscribers) limits_.on_subscribers(streams_.size());
}

void TailHub::leave(const std::shared_ptr<TailStream>& stream) {
    std::lock_guard lock(mutex_);
    if (streams_.erase(stream) == 0) return;
    leaving_.insert(stream);
    if (limits_.on_subscribers) limits_.on_subscribers(streams_.size());
}

bool TailHub::wake() {
    bool listens = false, sleeps = false;
    {
        std::lock_guard lock(mutex_);
        wake_ = true;
        listens = listens_;
        sleeps = sleeps_;
    }
    if (listens) changed_.notify_all();
    return !sleeps;
}

void TailHub::stop() {
    std::vector<std::shared_ptr<TailStream>> ending;
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        ending.assign(streams_.begin(), streams_.end());
    }
    executor_.stop();
    for (const auto& stream : ending) stream->end(stopping());
    changed_.notify_all();
}

Watermarks TailHub::watermarks() const {
    std::lock_guard lock(mutex_);
    return hangs() ? nullptr : watermarks_;
}

void TailHub::tell_anew() {
    std::lock_guard lock(mutex_);
    tell_anew_ = true;
}

/// nullptr where the database does not say: the streams are told anew once it is back.
Watermarks TailHub::read_watermarks() {
    auto read = store_.watermarks();
    if (!read) {
        if (!std::exchange(said_failing_, true))
            base::log_error("how far other gateways are is not known; tails of the audit show this one's events alone",
                            {{"error", read.error().message}});
        return nullptr;
    }
    if (std::exchange(said_failing_, false)) base::log_info("tails of the audit show all gateways again");
    if (read->more && !std::exchange(said_more_, true))
        base::log_warning("tails of the audit show the newest gateways only: the database has more",
                          {{"shown", audit::fleet_gateways_max}});
    return std::make_shared<const audit::FleetWatermarks>(std::move(*read));
}

void TailHub::look_at_others(base::MonoTime now) {
    if (!store_.shared() || (looked_at_ && now - *looked_at_ < tail_others)) return;
    {
        std::lock_guard lock(mutex_);
        if (looking_) return;
        looking_ = true;
    }
    looked_at_ = now;
    const bool queued = executor_.post([this](bool stopped) {
        Watermarks found;
        if (!stopped) {
            {
                std::lock_guard lock(mutex_);
                if (!asked_) asked_ = clock_.mono();
            }
            found = read_watermarks();
        }
        {
            std::lock_guard lock(mutex_);
            looking_ = false;
            if (found) asked_.reset();
            if (found && watermarks_ && *found == *watermarks_ && !tell_anew_) return;
            if (found) tell_anew_ = false;
            watermarks_ = std::move(found);
            wake_ = true;
        }
        changed_.notify_all();
    });
    if (!queued) {
        std::lock_guard lock(mutex_);
        looking_ = false;
    }
}

bool TailHub::hangs() const { return asked_ && clock_.mono() - *asked_ > looking_max; }

bool TailHub::store_hangs() const {
    std::lock_guard lock(mutex_);
    return hangs();
}

void TailHub::say_whether_it_hangs() {
    if (store_hangs() == said_hanging_) return;
    said_hanging_ = !said_hanging_;
    if (said_hanging_)
        base::log_error("the database does not answer; tails of the audit show this gateway's events alone");
    else
        base::log_info("the database has answered; tails of the audit show all gateways");
}

void TailHub::run() {
    std::vector<std::shared_ptr<TailStream>> streams;
    std::unique_lock lock(mutex_);
    while (!closed_) {
        wake_ = false;
        streams.assign(streams_.begin(), streams_.end());
        streams.insert(streams.end(), leaving_.begin(), leaving_.end());
        lock.unlock();
        std::optional<std::uint64_t> waits_behind;
        const auto durable = journal_.durable_sequence();
        const auto now = clock_.mono();
        const auto others = watermarks();
        if (!streams.empty()) look_at_others(now);
        say_whether_it_hangs();
        for (const auto& stream : streams) {
            const auto position = stream->tick(durable, others, now);
            if (position) waits_behind = std::min(*position, waits_behind.value_or(*position));
        }
        const bool any = !streams.empty();
        streams.clear();
        recent_.forget(any ? now - audit::recent_age_max : base::MonoTime::max());
        lock.lock();
        if (!any && !looking_) {  // what was known is old by the time that somebody comes
            watermarks_.reset();
            asked_.reset();
            said_hanging_ = false;
        }
        if (waits_behind && !wake_) {
            sleeps_ = true;
            lock.unlock();
            journal_.wait_beyond(*waits_behind, look_interval);
            lock.lock();
            sleeps_ = false;
        }
        if (closed_) break;
        if (!any) {
            // A task that was reading for the last one may have kept something since.
            const std::chrono::microseconds again(audit::recent_age_max);
            changed_.wait_for(lock, again, [this] { return closed_ || !streams_.empty() || !leaving_.empty(); });
        } else if (waits_behind || wake_) {
            const auto intervals = std::clamp<std::size_t>(streams_.size() / many_streams, 1, wake_intervals_max);
            changed_.wait_for(lock, wake_interval * intervals, [this] { return closed_; });
        } else {
            listens_ = true;
            changed_.wait_for(lock, look_interval, [this] { return closed_ || wake_; });
            listens_ = false;
        }
    }
}

}  // namespace usher::gateway::control
