#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "wire/tunnel_end.hpp"

namespace usher::clients::agent {

// Between the agent and the other commands of `usher` runs a Unix socket of packets (SOCK_SEQPACKET). The first packet
// is what is asked, the second the answer (see control_protocol.hpp); behind an answer that opens a tunnel, a packet is
// 'd' and up to packet_bytes of it, or 'e' for the proper end of its direction. So an end without 'e' is a break.
constexpr std::size_t packet_bytes = 32 * 1024;
constexpr char packet_data = 'd', packet_end = 'e';

/// The agent's side, with the same steps as wire::PlainSocket.
class PacketSocket {
public:
    explicit PacketSocket(boost::asio::posix::stream_descriptor socket) : socket_(std::move(socket)) {}

    wire::IoStatus try_read(std::span<char> out, std::size_t& count);
    wire::IoStatus try_write(std::string_view data, std::size_t& count);
    boost::asio::awaitable<bool> wait_readable();  ///< false: aborted
    boost::asio::awaitable<bool> wait_writable();
    /// The proper end of this direction. False: the peer is gone.
    boost::asio::awaitable<bool> end();
    void abort(bool reset) noexcept;  ///< without end() the peer takes either for a break
    bool aborted() const noexcept { return !socket_.is_open(); }

    /// One whole packet of at most 1 KiB, for what is asked; false: the peer is gone or sent something longer.
    boost::asio::awaitable<bool> read_packet(std::string& packet);
    boost::asio::awaitable<bool> write_packet(std::string packet);

private:
    boost::asio::posix::stream_descriptor socket_;
    std::string kept_;  ///< of a packet that was longer than what it was read into
};

}  // namespace usher::clients::agent
