#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "clients/common/stop_signal.hpp"

namespace usher::clients {

/// Of a program that was asked: true when it says nothing, and will say nothing next time (failed_precondition,
/// not_found); false when it could not be asked this time.
bool says_nothing(const base::Error& error) noexcept;

/// The desktop that the user is in, as far as its settings go. No names: none.
struct Desktop {
    /// XDG_CURRENT_DESKTOP, as "ubuntu:GNOME".
    std::string names{};
    /// Folders of settings by the XDG Base Directory Specification, those that count more first.
    std::vector<std::string> config_directories{};
    /// What gsettings(1) says of a key of a schema: "true", "uint32 300"; an error as says_nothing() has it.
    std::function<base::Result<std::string>(std::string_view schema, std::string_view key)> setting{};
};

/// Variables of the environment, by name.
using Variables = std::vector<std::pair<std::string, std::string>>;

/// The desktop of this process's user now: by the environment of the user's service manager (`systemctl --user
/// show-environment`) where this is its service, for that begins before the desktop and stays when it changes, or where
/// this process's own environment names none; by the latter else. Programs of /usr/bin answer, within five seconds each
/// or not at all. They and its `setting` end at once when `stop` (may be null) is set; it must outlive both. An error:
/// it could not be found out this time.
base::Result<Desktop> find_desktop(const StopSignal* stop);

/// Those variables that tell of the desktop, in what `systemctl --user show-environment` prints. Nullopt where one of
/// them is in quotes, which are not read.
std::optional<Variables> desktop_variables(std::string_view shown);

}  // namespace usher::clients
