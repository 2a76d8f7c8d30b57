#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "clients/common/stop_signal.hpp"

namespace usher::clients {

/// When a child is killed.
struct ChildLimits {
    std::size_t bytes = 0;             ///< that it may print
    base::Microseconds time{0};        ///< of real time
    const StopSignal* stop = nullptr;  ///< may be null
};

/// What a program prints, run without a shell: `command` is its absolute path and its arguments, `environment` all of
/// its environment ("NAME=value"). It gets an empty standard input and no other descriptor; what it says on standard
/// error is dropped. Where it comes to a limit it is killed, with those of its children that stayed in its group; it
/// has ended when this returns (one that hangs in the kernel is waited for). Blocks; any thread. not_found: it cannot
/// be executed; failed_precondition: it ended with anything but 0; resource_exhausted: it printed too much;
/// deadline_exceeded: it took too long; unavailable: it was stopped, a signal has ended it, or the system gives no
/// process or pipe.
base::Result<std::string> child_output(const std::vector<std::string>& command,
                                       const std::vector<std::string>& environment, const ChildLimits& limits);

}  // namespace usher::clients
