#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <span>
#include <string_view>
#include <tuple>

#include "wire/tunnel_end.hpp"

namespace usher::wire {

/// A plain stream socket (TCP, a Unix socket, or one end of a socket pair), with the same steps as
/// TlsStream.
class PlainSocket {
public:
    explicit PlainSocket(boost::asio::generic::stream_protocol::socket socket) : socket_(std::move(socket)) {}

    IoStatus try_read(std::span<char> out, std::size_t& count);
    IoStatus try_write(std::string_view data, std::size_t& count);
    /// Only while it is not aborted(). It is when this gives an error, or when aborted() says so afterwards. Not a
    /// coroutine, for many wait here for days.
    boost::asio::awaitable<std::tuple<boost::system::error_code>> readable();
    boost::asio::awaitable<bool> wait_readable();  ///< false: aborted
    boost::asio::awaitable<bool> wait_writable();
    void shutdown_send() noexcept;  ///< FIN; reading goes on
    void abort(bool reset) noexcept;
    bool aborted() const noexcept { return !socket_.is_open(); }
    /// Bytes that the peer's host has not acknowledged.
    std::size_t unacknowledged() noexcept;

private:
    boost::asio::generic::stream_protocol::socket socket_;
};

}  // namespace usher::wire
