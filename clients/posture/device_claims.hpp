#pragma once
#include <string>
#include <string_view>

#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// What this machine says of itself at the sign-in, and all but the id in reports too; every part may be empty.
struct DeviceClaims {
    std::string device_id;
    std::string name;
    std::string brand;
    std::string model;
    std::string os;
    std::string language;  ///< BCP 47, such as "en-GB"
};

/// All claims but the id: brand and model of DMI and the system's PRETTY_NAME (os-release(5)) from `tree`, the host's
/// name and the language from this process. Each is one that posture_value() lets through.
DeviceClaims device_claims(const SystemTree& tree);
/// Those of this machine, with the id: `device_id_file` keeps a random id that is made once; where it cannot be kept,
/// the id is left out.
DeviceClaims this_device(const std::string& device_id_file);
/// "de_DE.UTF-8" -> "de-DE"; "C", "POSIX" and what is no language -> "".
std::string language_of_locale(std::string_view locale);
/// The value of PRETTY_NAME in the text of an os-release file, unquoted; empty when there is none.
std::string pretty_os_name(std::string_view os_release);

}  // namespace usher::clients
