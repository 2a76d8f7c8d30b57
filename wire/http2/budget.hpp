#pragma once
#include <algorithm>
#include <cstdint>

#include "base/clock.hpp"

namespace usher::wire::http2 {

/// A token bucket: what a peer may do for nothing. Starts full.
class Budget {
public:
    Budget(std::uint32_t burst, std::uint32_t per_second) noexcept
        : burst_(burst), per_second_(per_second), tokens_(burst) {}

    /// False when there is nothing left to spend.
    bool spend(base::MonoTime now) noexcept {
        if (last_ == base::MonoTime{}) last_ = now;
        const auto elapsed = std::max<std::int64_t>((now - last_).count(), 0);
        // Whole tokens only, and the time that made them, so that frequent calls lose nothing.
        const std::int64_t made = elapsed * per_second_ / 1'000'000;
        if (made > 0) {
            last_ = now;
            refund(static_cast<std::uint64_t>(made));
        }
        if (tokens_ == 0) return false;
        --tokens_;
        return true;
    }
    /// Useful work earns more.
    void refund(std::uint64_t tokens) noexcept { tokens_ = std::min<std::uint64_t>(burst_, tokens_ + tokens); }

private:
    std::uint64_t burst_;
    std::int64_t per_second_;
    std::uint64_t tokens_;
    base::MonoTime last_{};
};

}  // namespace usher::wire::http2
