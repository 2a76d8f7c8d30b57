#pragma once
#include <string>
#include <string_view>

#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// What the operating system calls itself; what is not known is empty.
struct SystemName {
    std::string id;       ///< "debian"
    std::string version;  ///< "12"; rolling distributions have none
};

/// /etc/os-release, or where that is missing /usr/lib/os-release (os-release(5)); empty where there is neither.
std::string os_release(const SystemTree& tree);
/// ID and VERSION_ID of os_release().
SystemName system_name(const SystemTree& tree);
/// The value of `key` in the text of an os-release file, unquoted; empty when there is none or it holds anything but
/// letters, digits and "._+~-".
std::string os_release_word(std::string_view text, std::string_view key);

/// The 32 hexadecimal characters of /etc/machine-id (machine-id(5)); empty while a system has none yet. It names the
/// machine to everybody, so it must not leave it: see device_uid().
std::string machine_id(const SystemTree& tree);

/// The IANA name ("Europe/Berlin") that the link /etc/localtime leads to (localtime(5)), or else the first line of
/// /etc/timezone. Empty when neither names one.
std::string time_zone(const SystemTree& tree);

}  // namespace usher::clients
