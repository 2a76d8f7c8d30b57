#pragma once
#include <algorithm>

#include "base/clock.hpp"

namespace usher::clients::agent {

/// When a connection that could not be made may be tried again: each wait is up to twice the one before, with half of
/// it left to chance, so that a thousand agents do not come back to a gateway in step. Pure: time and chance come in.
class Backoff {
public:
    explicit Backoff(base::Microseconds first = std::chrono::milliseconds(200),
                     base::Microseconds most = std::chrono::seconds(20))
        : first_(first), most_(most) {}

    /// A try failed at `now`. `chance` is in [0, 1). `lasting`: it would fail again just as surely (an untrusted
    /// certificate), so the longest wait follows.
    void failed(base::MonoTime now, double chance, bool lasting = false) {
        step_ = lasting ? most_ : std::min(most_, step_ == base::Microseconds{0} ? first_ : step_ * 2);
        const auto half = step_ / 2;
        next_ = now + half + base::Microseconds{static_cast<std::int64_t>(chance * static_cast<double>(half.count()))};
    }
    /// A connection was made and was of use.
    void succeeded() {
        step_ = base::Microseconds{0};
        next_ = {};
    }

    /// Not before then.
    base::MonoTime next() const noexcept { return next_; }
    bool failing() const noexcept { return step_ != base::Microseconds{0}; }

private:
    base::Microseconds first_, most_;
    base::Microseconds step_{0};
    base::MonoTime next_{};
};

}  // namespace usher::clients::agent
