#pragma once
#include "base/result.hpp"
#include "gateway/config.hpp"

namespace usher::gateway {

/// A bound, listening, non-blocking TCP socket. `shared`: with SO_REUSEPORT, one of several of this process. The error
/// names the configuration key, the address and, where the port is taken, says so.
base::Result<int> open_listener(const ListenAddress& address, const char* key, bool shared);

}  // namespace usher::gateway
