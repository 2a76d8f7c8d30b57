#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/http1/request_parser.hpp"
#include "gateway/http1/response.hpp"
#include "gateway/record.hpp"
#include "gateway/tls/tls_stream.hpp"
#include "gateway/worker.hpp"

namespace usher::gateway {

/// One client's TCP connection: TLS, then requests until one becomes a tunnel or the connection ends. On its worker's
/// thread.
class Connection {
public:
    Connection(Worker& worker, boost::asio::ip::tcp::socket socket, Peer peer, tls::ContextPtr context);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// The connection's whole life; returns when it is over and recorded.
    boost::asio::awaitable<void> run();

    /// Called by the worker a few times a second: past its deadline the connection is aborted, and an access whose
    /// client has gone while its app takes nothing is cut.
    void check_deadline(base::MonoTime now);
    /// Ends it: a live access as SHUTDOWN.
    void shut_down();

    Worker& worker() noexcept { return worker_; }
    tls::TlsStream& stream() noexcept { return stream_; }
    const Peer& peer() const noexcept { return peer_; }

    void set_deadline(base::Microseconds from_now);
    void clear_deadline() noexcept { deadline_.reset(); }
    /// The access that this connection carries; nullptr while it carries none.
    void set_access(LiveAccess* access) noexcept { access_ = access; }

    /// Sends a response. False when the client is gone.
    boost::asio::awaitable<bool> send(std::string_view response);
    /// Reads exactly `count` bytes of a body, some of which may be in the rest of the head's read.
    boost::asio::awaitable<bool> read_body(std::size_t count, std::string& body);
    /// Takes what was read behind the request.
    std::string take_early() { return std::move(buffered_); }

private:
    boost::asio::awaitable<bool> serve_one();
    boost::asio::awaitable<bool> refuse(http1::Rejection rejection);
    boost::asio::awaitable<void> linger();

    Worker& worker_;
    Peer peer_;
    tls::ContextPtr context_;
    tls::TlsStream stream_;
    std::string buffered_;
    std::optional<base::MonoTime> deadline_;
    bool expired_ = false;
    LiveAccess* access_ = nullptr;
};

}  // namespace usher::gateway
