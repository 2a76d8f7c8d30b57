#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/exchange.hpp"
#include "gateway/record.hpp"
#include "gateway/worker.hpp"
#include "wire/http1/request_parser.hpp"
#include "wire/tls_stream.hpp"

namespace usher::gateway {

class Multiplexer;

/// One client's TCP connection: TLS, then HTTP/1.1 requests until one becomes a tunnel or the connection ends, or
/// HTTP/2 where ALPN has chosen it. On its worker's thread.
class Connection final : public Exchange, public Timed {
public:
    Connection(Worker& worker, boost::asio::ip::tcp::socket socket, Peer peer, tls::ContextPtr context);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() override;

    /// The connection's whole life; returns when it is over and recorded.
    boost::asio::awaitable<void> run();

    /// Called by the worker a few times a second while the connection is timed: past its deadline it is aborted.
    void check_deadline(base::MonoTime now) override;
    /// Ends it: live accesses as SHUTDOWN.
    void shut_down();
    /// The gateway takes no new accesses: an HTTP/2 client is told (GOAWAY), and ends when its last stream has.
    void drain();

    // The exchange of an HTTP/1.1 request.
    Worker& worker() noexcept override { return worker_; }
    const Peer& peer() const noexcept override { return peer_; }
    boost::asio::awaitable<bool> read_body(std::size_t count, std::string& body) override;
    void clear_deadline() noexcept override;
    boost::asio::awaitable<bool> send(const wire::http1::Response& response) override;
    boost::asio::awaitable<bool> establish() override;
    wire::TunnelEnd& end() noexcept override { return stream_; }
    std::string take_early() override { return std::move(buffered_); }
    void set_access(LiveAccess* access) noexcept override { access_ = access; }

private:
    void set_deadline(base::Microseconds from_now);
    void serve_as(Multiplexer* multiplexer) noexcept;
    /// Whether its worker has to look at it: with a deadline, or where streams may have one.
    void be_timed() noexcept { worker_.timed().set(*this, deadline_ || multiplexer_ != nullptr); }
    boost::asio::awaitable<void> serve_http2();
    boost::asio::awaitable<bool> serve_one();
    /// Reads one request. Without a value it is there; else the connection is over, or lingers no more: what
    /// serve_one() returns.
    boost::asio::awaitable<std::optional<bool>> read_request(wire::http1::Request& request);
    boost::asio::awaitable<bool> refuse(wire::http1::Rejection rejection);
    boost::asio::awaitable<void> linger();

    Worker& worker_;
    Peer peer_;
    tls::ContextPtr context_;
    wire::TlsStream stream_;
    std::string buffered_;
    std::optional<base::MonoTime> deadline_;
    bool expired_ = false;
    LiveAccess* access_ = nullptr;
    Multiplexer* multiplexer_ = nullptr;  ///< of an HTTP/2 connection, while it runs
};

}  // namespace usher::gateway
