#pragma once
#include <optional>
#include <string>

#include "auth/device.hpp"

namespace usher::gateway::control {

/// Where a tunnel to the control API comes from.
struct TunnelOrigin {
    std::optional<auth::DeviceKeyHash> device_key;  ///< what the session that opened it is bound to
    std::string client_ip;
};

}  // namespace usher::gateway::control
