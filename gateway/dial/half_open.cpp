#include "gateway/dial/half_open.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace usher::gateway::dial {

int set_half_open_limit(int socket, base::Microseconds limit) noexcept {
    const auto whole = std::max<std::int64_t>(limit / std::chrono::seconds(1), 2);
    // A half of the time in silence, or up to a third of that less; the rest for three probes. The kernel keeps timers
    // of this length in steps of seconds: many connections that began together would all be probed in one interrupt. By
    // three seconds each, so that the third probe's end is at the limit as before: one that ends before it is followed
    // by another, for the kernel looks at TCP_USER_TIMEOUT then and not at the count of probes.
    const int half = static_cast<int>(whole / 2);
    const int idle = half - 3 * (socket % (half / 9 + 1));
    const int interval = std::max(1, static_cast<int>(whole - idle) / 3);
    const struct {
        int level;
        int name;
        int value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, idle},
        {IPPROTO_TCP, TCP_KEEPINTVL, interval},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(whole * 1000)},
    };
    for (const auto& option : options) {
        if (::setsockopt(socket, option.level, option.name, &option.value, sizeof option.value) != 0) return errno;
    }
    return 0;
}

}  // namespace usher::gateway::dial
