#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::clients::control {

/// How the control services are reached: the machine's own socket, or a gateway. At one place (command line,
/// environment, config.yaml) there is one of the two at most.
struct Settings {
    std::string socket;
    std::string gateway;
    std::string ca_file;
    bool empty() const noexcept { return socket.empty() && gateway.empty(); }
};

std::string config_file();   ///< ~/.config/usherctl/config.yaml
std::string session_file();  ///< ~/.config/usherctl/session

/// Reads config.yaml: a map of socket, gateway and ca, all texts, all optional. Strict; errors have file, line and
/// column. Pure.
base::Result<Settings> parse_config(std::string_view text, std::string_view file);
std::string encode_config(const Settings& settings);

/// The command line wins over the environment (USHERCTL_SOCKET, USHERCTL_GATEWAY, USHERCTL_CA), which wins over
/// config.yaml. The CA may come from a later place than the gateway. Throws Failure with exit code 2 when none names a
/// socket or a gateway.
Settings resolve_settings(const Settings& command_line);

}  // namespace usher::clients::control
