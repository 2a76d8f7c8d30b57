#pragma once
#include <algorithm>
#include <atomic>
#include <limits>

#include "base/clock.hpp"

namespace usher::gateway {

/// How old what this gateway knows of accounts, policies and sessions may be: what was committed before, here or on
/// another gateway of the database, is in force here. Thread-safe.
class ControlAge {
public:
    /// Everything that was committed before `at` has been taken over.
    void current_at(base::MonoTime at) noexcept {
        const auto value = at.time_since_epoch().count();
        auto before = at_.load(std::memory_order_relaxed);
        while (before < value && !at_.compare_exchange_weak(before, value, std::memory_order_relaxed)) {
        }
    }
    /// Nobody else can change anything: it is always current.
    void is_alone() noexcept { at_.store(alone, std::memory_order_relaxed); }

    base::Microseconds age(base::MonoTime now) const noexcept {
        const auto at = at_.load(std::memory_order_relaxed);
        if (at == alone) return base::Microseconds{0};
        return std::max(base::Microseconds{0}, now - base::MonoTime{base::Microseconds{at}});
    }

private:
    static constexpr auto alone = std::numeric_limits<base::Microseconds::rep>::max();
    std::atomic<base::Microseconds::rep> at_{0};
};

}  // namespace usher::gateway
