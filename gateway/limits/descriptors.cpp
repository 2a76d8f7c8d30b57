#include "gateway/limits/descriptors.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

namespace usher::gateway::limits {

Descriptors Descriptors::of(int limit) noexcept {
    const int reserve = std::min(limit / 4, 64);
    const int rest = limit - reserve;
    return {limit, rest - rest / 8, rest};
}

Descriptors Descriptors::of_process() noexcept {
    rlimit limit{};
    constexpr int most = std::numeric_limits<int>::max();
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {most, most, most};
    return of(static_cast<int>(std::min<rlim_t>(limit.rlim_cur, most)));
}

std::string Descriptors::shortage(std::size_t connections) const {
    const std::size_t wanted = 2 * connections + 64;
    if (static_cast<std::size_t>(limit) >= wanted) return {};
    return "'limits.connections' is " + std::to_string(connections) + ", which needs " + std::to_string(wanted) +
           " descriptors (one a connection, one for its app, 64 of the gateway's own), but the process may have " +
           std::to_string(limit) + "; raise LimitNOFILE or lower 'limits.connections'";
}

bool descriptor_is_free_below(int bound) noexcept {
    const int fd = ::eventfd(0, EFD_CLOEXEC);
    if (fd < 0) return false;
    ::close(fd);
    return fd < bound;
}

}  // namespace usher::gateway::limits
