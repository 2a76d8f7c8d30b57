#pragma once
#include <atomic>

#include "base/unique_fd.hpp"

namespace usher::clients {

/// Something that may be waited for with poll() next to sockets: once set, its descriptor stays readable. Set from any
/// thread.
class StopSignal {
public:
    /// Throws std::system_error where the system has no descriptor left.
    StopSignal();
    void set() noexcept;
    bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }
    int fd() const noexcept { return event_.get(); }

private:
    base::UniqueFd event_;
    std::atomic<bool> set_{false};
};

}  // namespace usher::clients
