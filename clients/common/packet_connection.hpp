#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "clients/common/tls_connection.hpp"

namespace usher::clients {

/// A tunnel through the running agent: packets on a Unix socket (clients/usher/up/packet_socket.hpp), with the same
/// steps as TlsConnection. Used by one thread.
class PacketConnection {
public:
    using Io = TlsConnection::Io;
    using Moved = TlsConnection::Moved;

    explicit PacketConnection(base::UniqueFd socket) : socket_(std::move(socket)) {}

    int fd() const noexcept { return socket_.get(); }

    // What is asked and answered before the tunnel; up to the deadline, or the stop signal (may be null).
    base::Result<void> send_packet(std::string_view packet);
    /// One packet of at most 64 KiB.
    base::Result<std::string> receive_packet(Deadline deadline, const StopSignal* stop = nullptr);

    // The tunnel. None of these blocks. `into` must have room for a whole packet, or the rest is kept for the next
    // call.
    Moved read(std::span<char> into);
    Moved write(std::span<const char> bytes);
    Moved flush() { return {Io::done, 0}; }
    Moved close_write();
    bool has_buffered_input() const noexcept { return !kept_.empty(); }

    const std::string& error_text() const noexcept { return error_; }

private:
    Moved failed(const char* what);

    base::UniqueFd socket_;
    std::string kept_;
    bool close_sent_ = false;
    std::string error_;
};

}  // namespace usher::clients
