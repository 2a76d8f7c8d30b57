#pragma once
#include <string>
#include <vector>

#include "audit/sinks/stop_event.hpp"
#include "base/net.hpp"
#include "base/result.hpp"

namespace usher::audit::sinks {

/// The addresses of a host, at most 16, in the order in which they are to be tried. An IP address is itself. Asks the
/// system's name servers and hosts file, and unlike getaddrinfo() ends at the deadline, and when `stop` is set.
base::Result<std::vector<base::IpAddress>> resolve(const std::string& host, Deadline deadline, const StopEvent& stop);

}  // namespace usher::audit::sinks
