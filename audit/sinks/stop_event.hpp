#pragma once
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace usher::audit::sinks {

using Deadline = std::chrono::steady_clock::time_point;

/// Ends waits for sockets from another thread; once set it stays so.
class StopEvent {
public:
    StopEvent() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
    /// Any thread; blocks for nothing.
    void set() noexcept { (void)::eventfd_write(fd_.get(), 1); }
    int fd() const noexcept { return fd_.get(); }
    /// Whether there could be one at all: without descriptors there is none.
    explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

    /// Waits until the socket is ready for `events`. deadline_exceeded, or unavailable once set() was called.
    base::Result<void> wait_for(int socket, short events, Deadline deadline) const {
        for (;;) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
            if (left <= 0) return {base::Errc::deadline_exceeded, "no answer in time"};
            std::array<pollfd, 2> fds{pollfd{socket, events, 0}, pollfd{fd_.get(), POLLIN, 0}};
            const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(std::min<long long>(left, 60'000)));
            if (ready < 0 && errno != EINTR)
                return {base::Errc::internal, std::string("poll: ") + std::strerror(errno)};
            if (fds[1].revents != 0) return {base::Errc::unavailable, "the gateway is stopping"};
            if (ready > 0 && fds[0].revents != 0) return {};
        }
    }

private:
    base::UniqueFd fd_;
};

}  // namespace usher::audit::sinks
