#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "clients/common/endpoint.hpp"

namespace usher::clients::agent {

/// What `usher up` is to do.
struct UpConfig {
    Endpoint socks{"127.0.0.1", 1080};  ///< the local SOCKS5 and HTTP proxy; always a loopback address
    std::vector<ForwardRule> forwards;
};

/// "~/.config/usher/up.yaml": where the configuration is looked for.
std::string up_config_file();

/// Reads the configuration's text. Unknown keys, malformed values and addresses that others could reach are refused
/// with file, line, column and key.
base::Result<UpConfig> parse_up_config(std::string_view text, std::string_view file);

}  // namespace usher::clients::agent
