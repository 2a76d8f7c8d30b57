#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/exchange.hpp"
#include "wire/async_event.hpp"
#include "wire/http2/server_session.hpp"

namespace usher::gateway {

class Multiplexer;

/// One stream of an HTTP/2 connection as the exchange of its request and, behind a CONNECT, as the client's end of the
/// tunnel. Bytes that the app cannot take lie here, at most a stream's window of them; bytes that the client cannot
/// take are not read from the app.
class StreamExchange final : public Exchange, public wire::TunnelEnd {
public:
    StreamExchange(Multiplexer& connection, std::int32_t id, bool ended)
        : connection_(connection), id_(id), client_ended_(ended) {}

    Worker& worker() noexcept override;
    const Peer& peer() const noexcept override;
    boost::asio::awaitable<bool> read_body(std::size_t count, std::string& body) override;
    void clear_deadline() noexcept override { deadline_.reset(); }
    boost::asio::awaitable<bool> send(const wire::http1::Response& response) override;
    boost::asio::awaitable<bool> establish() override;
    wire::TunnelEnd& end() noexcept override { return *this; }
    std::string take_early() override { return {}; }
    void set_access(LiveAccess* access) noexcept override { access_ = access; }

    wire::IoStatus try_read(std::span<char> out, std::size_t& count) override;
    boost::asio::awaitable<bool> wait_readable() override;
    std::size_t room() override;
    boost::asio::awaitable<bool> wait_room() override;
    wire::IoStatus put(wire::BufferPool::Block block, std::size_t count) override;
    boost::asio::awaitable<wire::IoStatus> shutdown_send() override;
    void abort(bool reset) noexcept override;
    std::size_t unacknowledged() const noexcept override;

    // What the connection has to say.
    void on_data(std::string_view bytes);
    void on_end();
    void on_sent();
    void on_window() { may_write_.set(); }
    /// The stream is over; `unsent` bytes of put() never went out.
    void on_closed(bool reset, std::size_t unsent);
    /// The whole connection is.
    void on_lost();
    void check_deadline(base::MonoTime now);
    /// What served it has returned: a stream that was neither answered nor ended is reset.
    void abandon() noexcept {
        if (!answered_) abort(false);
    }
    LiveAccess* access() const noexcept { return access_; }

private:
    bool gone() const noexcept { return aborted_ || reset_; }

    Multiplexer& connection_;
    std::int32_t id_;
    std::string arrived_;
    std::size_t taken_ = 0;  ///< of arrived_
    wire::BufferPool::Block sending_;
    std::size_t unsent_ = 0;  ///< of what was put, once the session has let go of it
    wire::AsyncEvent may_read_, may_write_;
    std::optional<base::MonoTime> deadline_;
    LiveAccess* access_ = nullptr;
    bool client_ended_;
    bool answered_ = false;  ///< with a whole response
    bool ended_ = false;     ///< END_STREAM was given to the session
    bool closed_ = false;    ///< the session knows it no longer
    bool reset_ = false;     ///< by the client, or with the connection
    bool aborted_ = false;   ///< by us
};

}  // namespace usher::gateway
