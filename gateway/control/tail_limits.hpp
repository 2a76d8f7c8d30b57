#pragma once
#include <cstddef>
#include <functional>

#include "base/clock.hpp"

namespace usher::gateway::control {

/// What a tail may cost, and who hears of it. The functions are called on any thread, must not block and must not
/// throw.
struct TailLimits {
    /// A subscriber that takes nothing for so long, while there is something for it, is cut off: RESOURCE_EXHAUSTED
    /// with the cursor to go on from (tail_cursor_key), which it reads behind what was on its way.
    base::Microseconds stall{30'000'000};
    /// It has so long to read that; then the call is reset, and what gRPC held for it is gone.
    base::Microseconds farewell{5'000'000};
    std::function<void()> on_cut{};
    std::function<void(std::size_t)> on_subscribers{};  ///< how many there are now
};

/// The trailing metadata of a stream that was cut: the cursor to go on from.
inline constexpr const char* tail_cursor_key = "usher-cursor";

}  // namespace usher::gateway::control
