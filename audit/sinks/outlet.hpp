#pragma once
#include <span>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::audit::sinks {

/// A way out of the house: speaks one protocol to one receiver. Used by one thread, except stop().
class Outlet {
public:
    virtual ~Outlet() = default;
    /// Sends the events in order and returns when the receiver has them all. An error may hide that it has some or all
    /// of them: they are sent again. invalid_argument says that the receiver will never take one of them; every other
    /// error may pass. Blocks, for about a minute at most.
    virtual base::Result<void> deliver(std::span<const usher::v1::AuditEvent> events) = 0;
    /// How long the receiver asked to be left alone when deliver() failed last; 0: it asked for nothing.
    virtual base::Microseconds pause() const noexcept { return base::Microseconds{0}; }
    /// Makes deliver() end now, this one and every later one. Any thread; blocks for nothing.
    virtual void stop() noexcept = 0;
};

}  // namespace usher::audit::sinks
