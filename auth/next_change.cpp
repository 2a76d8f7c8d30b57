#include "auth/next_change.hpp"

#include <algorithm>

namespace usher::auth {

std::optional<base::UtcTime> next_time_that_matters(const DirectorySnapshot& directory, base::UtcTime now) noexcept {
    using std::chrono::floor;
    using std::chrono::minutes;
    std::optional<base::UtcTime> next;
    if (directory.has_time_windows()) next = floor<minutes>(now) + minutes{1};
    const auto& changes = directory.validity_changes();
    const auto change = std::upper_bound(changes.begin(), changes.end(), now);
    if (change != changes.end()) next = next ? std::min(*next, *change) : *change;
    return next;
}

base::Microseconds time_until(std::optional<base::UtcTime> next, base::UtcTime now,
                              base::Microseconds longest) noexcept {
    if (!next || *next >= now + longest) return longest;
    return std::max(base::Microseconds{0}, *next - now);
}

}  // namespace usher::auth
