#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "auth/affected.hpp"
#include "base/clock.hpp"

namespace usher::gateway {

/// That something has changed, and what is no longer allowed is to be cut.
struct Enforcement {
    auth::Affected affected{};
    std::string signed_out{};  ///< the session whose accesses end as SIGNED_OUT where others would be REVOKED

    static Enforcement of(auth::Affected affected) { return {std::move(affected), {}}; }
};

/// What a worker is told to enforce and has not yet. It is looked at between two pieces of any work, so that an order
/// waits for one piece, and not for one of every connection. put() is for any thread, the rest for the worker's.
class EnforcementQueue {
public:
    struct Item {
        std::uint64_t number = 0;  ///< rising, from 1
        Enforcement what{};
        base::MonoTime at{};  ///< since when it waits
        std::function<void(std::uint64_t cut)> done{};
    };

    void put(Enforcement what, const base::Clock& clock, std::function<void(std::uint64_t)> done) {
        std::lock_guard lock(mutex_);
        items_.push_back({++last_, std::move(what), {}, std::move(done)});
        if (items_.size() == 1) oldest_.store(last_, std::memory_order_relaxed);
        // From here on whatever passes is counted, so this is not too early.
        items_.back().at = clock.mono();
    }

    /// The number of the oldest one that waits; 0: none does. It costs a load.
    std::uint64_t oldest() const noexcept { return oldest_.load(std::memory_order_relaxed); }

    /// All that wait, oldest first.
    std::vector<Item> take() {
        std::lock_guard lock(mutex_);
        oldest_.store(0, std::memory_order_relaxed);
        return std::exchange(items_, {});
    }

    /// What obeys the orders; set by the worker before it runs.
    void on_waiting(std::function<void()> obey) { obey_ = std::move(obey); }
    /// Has what waits obeyed now. Whoever calls may be cut by it.
    void look() {
        if (oldest() != 0) obey_();
    }

private:
    std::atomic<std::uint64_t> oldest_{0};
    std::mutex mutex_;  ///< of the two below
    std::vector<Item> items_;
    std::uint64_t last_ = 0;
    std::function<void()> obey_;
};

}  // namespace usher::gateway
