#pragma once
#include <string_view>

namespace usher::base {

/// Tells the service manager (sd_notify(3): one datagram to $NOTIFY_SOCKET) such as "READY=1". Does nothing without a
/// manager.
void notify(std::string_view state) noexcept;

}  // namespace usher::base
