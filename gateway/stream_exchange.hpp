#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "gateway/exchange.hpp"
#include "wire/http2/stream_end.hpp"

namespace usher::gateway {

class Multiplexer;

/// One stream of an HTTP/2 connection as the exchange of its request and, behind a CONNECT, as the client's end of the
/// tunnel.
class StreamExchange final : public Exchange, public wire::http2::StreamEnd {
public:
    StreamExchange(Multiplexer& connection, std::int32_t id, bool ended);
    ~StreamExchange() override { set_deadline({}); }

    Worker& worker() noexcept override;
    const Peer& peer() const noexcept override;
    boost::asio::awaitable<bool> read_body(std::size_t count, std::string& body) override;
    void clear_deadline() noexcept override { set_deadline({}); }
    boost::asio::awaitable<bool> send(const wire::http1::Response& response) override;
    boost::asio::awaitable<bool> establish() override;
    wire::TunnelEnd& end() noexcept override { return *this; }
    std::string take_early() override { return {}; }
    void set_access(LiveAccess* access) noexcept override { access_ = access; }

    void check_deadline(base::MonoTime now);
    /// What served it has returned: a stream that was neither answered nor ended is reset.
    void abandon() noexcept {
        if (!answered_) abort(false);
    }
    LiveAccess* access() const noexcept { return access_; }

private:
    void set_deadline(std::optional<base::MonoTime> deadline) noexcept;

    Multiplexer& connection_;
    std::optional<base::MonoTime> deadline_;
    LiveAccess* access_ = nullptr;
    bool answered_ = false;  ///< with a whole response
};

}  // namespace usher::gateway
