#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace usher::gateway::control {

/// The process as a whole, as the control API sees and moves it. Thread-safe; outlives the control server.
class Operation {
public:
    struct Status {
        std::int64_t process_id = 0;
        base::UtcTime started_at{};
        std::uint64_t tunnels = 0;  ///< open, without those of the control API
        bool draining = false;
        std::optional<base::UtcTime> drain_deadline;
    };
    virtual ~Operation() = default;
    virtual Status status() const = 0;
    /// Begins to drain, or moves the deadline of a drain that has begun; returns at once. `limit`: what live tunnels
    /// are given; the configuration's without one.
    virtual void drain(std::optional<base::Microseconds> limit) = 0;
};

}  // namespace usher::gateway::control
