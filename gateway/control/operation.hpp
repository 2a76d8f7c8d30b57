#pragma once
#include <cstdint>
#include <functional>
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
        bool upgrading = false;
        std::string upgrade_error;  ///< why the last upgrade did not happen
        struct Predecessor {
            std::int64_t process_id = 0;
            std::string version;
            std::uint64_t tunnels = 0;
            std::optional<base::UtcTime> deadline;  ///< once it has told
        };
        std::optional<Predecessor> predecessor;  ///< that still has tunnels from before an upgrade
    };
    virtual ~Operation() = default;
    virtual Status status() const = 0;
    /// Begins to drain, or moves the deadline of a drain that has begun; returns at once. `limit`: what live tunnels
    /// are given; the configuration's without one.
    virtual void drain(std::optional<base::Microseconds> limit) = 0;

    struct Upgrade {
        std::optional<base::Microseconds> limit;         ///< what live tunnels are given; timeouts.drain without one
        bool end_previous = false;                       ///< cut what a predecessor still has
        std::function<void(const base::Error&)> failed;  ///< called when it did not happen; the journal is there then
    };
    /// Begins to hand over to a new process of the program's file; returns at once. failed_precondition when the
    /// gateway drains or is at it already, or when a predecessor has tunnels and is not to be ended.
    virtual base::Result<void> upgrade(Upgrade upgrade) = 0;
};

}  // namespace usher::gateway::control
