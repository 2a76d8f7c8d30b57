#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace usher::clients::agent {

/// A proxy auto-configuration file (FindProxyForURL in ECMAScript 3): `destinations`, as the gateway lists those of
/// apps, go to `proxy` (host:port), everything else DIRECT. Names match as the gateway matches them, with their ports;
/// addresses match blocks bit by bit, and a name is never looked up. A destination that is malformed is left out. Pure.
std::string make_pac(const std::vector<std::string>& destinations, std::string_view proxy);

/// The destinations in the body of GET /.usher/v1/apps.
base::Result<std::vector<std::string>> destinations_of(std::string_view apps_json);

}  // namespace usher::clients::agent
