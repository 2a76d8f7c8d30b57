#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// Whether what is written to / is encrypted by this system before it reaches a disk: true when every block device
/// below the file system of / is a dm-crypt one (its dm/uuid begins with CRYPT- and a kind that encrypts), false when
/// the way down ends at a disk without one, on any of several. /proc/self/mountinfo names the device; the way goes
/// through /sys/dev/block, device mapper and RAID (slaves) and partitions. Nullopt for file systems without a device of
/// their own (overlay, NFS, ZFS), loop and network devices, and whatever is deeper or wider than a sane machine. A disk
/// that encrypts itself cannot be told from one that does not, and counts as a disk.
std::optional<bool> disk_encrypted(const SystemTree& tree);

/// What is mounted on / last, in the text of a mountinfo (proc(5)).
struct RootMount {
    std::string device;  ///< "254:0"
    std::string type;    ///< "ext4"
    std::string source;  ///< "/dev/mapper/root"
};
std::optional<RootMount> root_mount(std::string_view mountinfo);

}  // namespace usher::clients
