#pragma once
#include "base/clock.hpp"

namespace usher::gateway::dial {

/// Makes the kernel end a TCP connection whose peer has vanished without a word within about `limit` (to the second, at
/// least 2 s): probes after half of it in silence, or up to a third less, and so long until unacknowledged data ends
/// it. Bytes that arrive or are acknowledged start it anew; a live peer notices nothing. Connections that are accepted
/// inherit it from their listener. Returns 0, or errno of the first option that was refused.
int set_half_open_limit(int socket, base::Microseconds limit) noexcept;

}  // namespace usher::gateway::dial
