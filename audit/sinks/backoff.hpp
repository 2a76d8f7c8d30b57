#pragma once
#include <algorithm>
#include <cstdint>

#include "base/clock.hpp"

namespace usher::audit::sinks {

/// How long to wait before a receiver that failed is tried again: 0.5 s, doubled up to 30 s, of which a random half is
/// taken off, so that the gateways of a fleet do not come back all at once. Pure.
class Backoff {
public:
    static constexpr base::Microseconds first{500'000};
    static constexpr base::Microseconds last{30'000'000};

    /// `random`: anything, evenly distributed.
    base::Microseconds next(std::uint32_t random) noexcept {
        const base::Microseconds whole = wait_;
        wait_ = std::min(wait_ * 2, last);
        return whole / 2 + base::Microseconds{whole.count() / 2 * (random % 1024) / 1023};
    }
    void reset() noexcept { wait_ = first; }

private:
    base::Microseconds wait_ = first;
};

}  // namespace usher::audit::sinks
