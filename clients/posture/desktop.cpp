#include "clients/posture/desktop.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/text.hpp"
#include "clients/common/child_output.hpp"

namespace usher::clients {

namespace {

using base::Errc;
using base::Result;

constexpr std::size_t environment_limit_bytes = 256 * 1024, answer_limit_bytes = 200;
constexpr base::Microseconds answer_limit{std::chrono::seconds{5}};

/// What tells of a desktop and of its settings. Nothing else of an environment reaches gsettings: a program that brings
/// GSettings modules of its own, as a snap does, has what it starts read other settings than the desktop's.
constexpr std::array<std::string_view, 9> names{
    "XDG_CURRENT_DESKTOP", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS",          "XDG_DATA_HOME",    "XDG_DATA_DIRS",
    "XDG_RUNTIME_DIR",     "DCONF_PROFILE",   "DBUS_SESSION_BUS_ADDRESS", "GSETTINGS_BACKEND"};

std::string own_variable(std::string_view name) {
    const char* value = std::getenv(std::string(name).c_str());
    return value == nullptr ? "" : value;
}

Variables own_variables() {
    Variables own;
    for (const auto name : names)
        if (auto value = own_variable(name); !value.empty()) own.emplace_back(name, std::move(value));
    return own;
}

std::string value_of(const Variables& variables, std::string_view name) {
    for (const auto& [known, value] : variables)
        if (known == name) return value;
    return {};
}

/// Relative folders are not looked at, as the specification has it. There is a HOME.
std::vector<std::string> config_directories(const Variables& variables) {
    std::vector<std::string> found;
    const std::string own = value_of(variables, "XDG_CONFIG_HOME");
    found.push_back(own.starts_with('/') ? own : own_variable("HOME") + "/.config");
    const std::string shared = value_of(variables, "XDG_CONFIG_DIRS");
    for (std::string_view rest = shared.empty() ? "/etc/xdg" : std::string_view(shared); !rest.empty();)
        if (const auto part = base::take_until(rest, ':'); part.starts_with('/')) found.emplace_back(part);
    return found;
}

std::vector<std::string> environment_of(const Variables& variables) {
    std::vector<std::string> environment{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + own_variable("HOME")};
    for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
    return environment;
}

Desktop desktop_of(const Variables& variables, const StopSignal* stop) {
    Desktop desktop;
    desktop.names = value_of(variables, "XDG_CURRENT_DESKTOP");
    desktop.config_directories = config_directories(variables);
    desktop.setting = [environment = environment_of(variables), stop](std::string_view schema,
                                                                      std::string_view key) -> Result<std::string> {
        auto answer = child_output({"/usr/bin/gsettings", "get", std::string(schema), std::string(key)}, environment,
                                   {answer_limit_bytes, answer_limit, stop});
        if (answer && answer->ends_with('\n')) answer->pop_back();
        return answer;
    };
    return desktop;
}

}  // namespace

bool says_nothing(const base::Error& error) noexcept {
    return error.code == Errc::failed_precondition || error.code == Errc::not_found;
}

std::optional<Variables> desktop_variables(std::string_view shown) {
    Variables found;
    while (!shown.empty()) {
        const auto line = base::take_until(shown, '\n');
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        const auto name = line.substr(0, equals), value = line.substr(equals + 1);
        if (std::find(names.begin(), names.end(), name) == names.end()) continue;
        if (value.starts_with('$') || value.starts_with('"') || value.starts_with('\'')) return std::nullopt;
        if (!value.empty()) found.emplace_back(name, value);
    }
    return found;
}

Result<Desktop> find_desktop(const StopSignal* stop) {
    // Without a home there are no settings, and gsettings would tell what it comes with.
    if (!own_variable("HOME").starts_with('/')) return Desktop{};
    const auto own = own_variables();
    // sd_notify(3) is no sign: a program in a terminal may have its socket. The manager writes the number of whom it
    // has started, and nobody inherits that as their own.
    const bool service = own_variable("SYSTEMD_EXEC_PID") == std::to_string(::getpid());
    if (!service && !value_of(own, "XDG_CURRENT_DESKTOP").empty()) return desktop_of(own, stop);
    const auto shown = child_output({"/usr/bin/systemctl", "--user", "show-environment"}, environment_of(own),
                                    {environment_limit_bytes, answer_limit, stop});
    if (!shown) {
        // A service has a manager, even where that does not answer while it starts anew itself.
        if (!service && says_nothing(shown.error())) return Desktop{};
        return shown.error();
    }
    auto variables = desktop_variables(*shown);
    if (!variables) return Desktop{};
    for (const auto& [name, value] : own)
        if (value_of(*variables, name).empty() && name != "XDG_CURRENT_DESKTOP") variables->emplace_back(name, value);
    return desktop_of(*variables, stop);
}

}  // namespace usher::clients
