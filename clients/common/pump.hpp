#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "clients/common/packet_connection.hpp"
#include "clients/common/stop_signal.hpp"
#include "clients/common/tls_connection.hpp"

namespace usher::clients {

/// The local end of a tunnel: one socket (both descriptors the same), or an input and an output.
struct LocalEnd {
    int in = -1;
    int out = -1;
    bool is_socket() const noexcept { return in == out; }
};

struct PumpResult {
    enum class End {
        finished,    ///< both directions ended as they should
        local_gone,  ///< whoever read our output went away
        truncated,   ///< the tunnel broke off without its close_notify
        failed,      ///< the tunnel or the local end broke; `detail` says how
        stopped,     ///< the stop signal
    };
    End end = End::failed;
    std::string detail;
};

/// Moves bytes both ways until both directions have ended: the local end's EOF becomes close_notify, the peer's
/// close_notify becomes the local end's EOF (shutdown of a socket; close of an output, whose descriptor is then gone).
/// Holds at most 128 KiB per direction. `early` are bytes of the tunnel that were read with its answer. `stop` may be
/// null. One thread; blocks; descriptors that block are written so that they do not.
PumpResult pump(LocalEnd local, TlsConnection& tunnel, std::string_view early, const StopSignal* stop);
/// The same through the running agent.
PumpResult pump(LocalEnd local, PacketConnection& tunnel, const StopSignal* stop);

}  // namespace usher::clients
