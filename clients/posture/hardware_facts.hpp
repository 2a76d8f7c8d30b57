#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// The file system of the tree's root.
struct Storage {
    std::uint64_t bytes = 0;
    std::uint64_t free_bytes = 0;  ///< for its user, in whole GiB rounded down: a report is no ticker
};
/// By statvfs(3).
std::optional<Storage> storage(const SystemTree& tree);

/// The charge of the machine's battery in percent, rounded to 10, from /sys/class/power_supply/*/capacity; those of
/// mice and headsets (scope "Device") do not count. Two batteries are one of their energy_now and energy_full together.
/// Nullopt where there is none or its charge is not told.
std::optional<unsigned> battery_percent(const SystemTree& tree);

/// The largest connected screen, "1920x1080": the first line of /sys/class/drm/*/modes, which is the mode that the
/// screen prefers, where status is "connected". Empty where none is known.
std::string screen(const SystemTree& tree);

}  // namespace usher::clients
