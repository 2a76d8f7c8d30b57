#pragma once
#include <optional>

#include "base/clock.hpp"

namespace usher::clients::agent {

/// Finds out that a connection is dead although nobody said so (a laptop that slept, a network that changed): when the
/// gateway has been quiet while something is expected of it, it is pinged, and without an answer the connection is
/// given up. Pure: the time comes in.
class LinkPulse {
public:
    explicit LinkPulse(base::MonoTime now) : heard_(now) {}

    enum class Act { nothing, ping, give_up };

    void heard(base::MonoTime now) {
        heard_ = now;
        pinged_.reset();
    }
    /// Called every second or so. `awaited`: an answer is awaited now; else tunnels are merely open (`open`).
    Act tick(base::MonoTime now, bool awaited, bool open) {
        if (pinged_) return now - *pinged_ >= patience ? Act::give_up : Act::nothing;
        if ((!awaited || now - heard_ < quiet_awaited) && (!open || now - heard_ < quiet_open)) return Act::nothing;
        pinged_ = now;
        return Act::ping;
    }

    static constexpr base::Microseconds quiet_awaited = std::chrono::seconds(3);
    static constexpr base::Microseconds quiet_open = std::chrono::seconds(30);
    static constexpr base::Microseconds patience = std::chrono::seconds(10);

private:
    base::MonoTime heard_;
    std::optional<base::MonoTime> pinged_;
};

}  // namespace usher::clients::agent
