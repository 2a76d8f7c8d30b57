#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <span>
#include <string_view>

#include "wire/tls_stream.hpp"

namespace usher::gateway {

/// The plain stream socket to an app (TCP, or a socketpair's end for the built-in one), with the same steps as
/// wire::TlsStream.
class AppSocket {
public:
    explicit AppSocket(boost::asio::generic::stream_protocol::socket socket) : socket_(std::move(socket)) {}

    wire::IoStatus try_read(std::span<char> out, std::size_t& count);
    wire::IoStatus try_write(std::string_view data, std::size_t& count);
    boost::asio::awaitable<bool> wait_readable();  ///< false: aborted
    boost::asio::awaitable<bool> wait_writable();
    void shutdown_send() noexcept;  ///< FIN; reading goes on
    void abort(bool reset) noexcept;
    bool aborted() const noexcept { return !socket_.is_open(); }
    /// Bytes that the app's host has not acknowledged.
    std::size_t unacknowledged() noexcept;

private:
    boost::asio::generic::stream_protocol::socket socket_;
};

}  // namespace usher::gateway
