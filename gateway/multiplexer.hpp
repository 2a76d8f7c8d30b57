#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "gateway/stream_exchange.hpp"
#include "gateway/worker.hpp"
#include "wire/http2/carrier.hpp"
#include "wire/http2/server_session.hpp"

namespace usher::gateway {

/// One client's HTTP/2 connection: each request is a StreamExchange, served by a coroutine of its own. On its worker's
/// thread.
class Multiplexer final : public wire::http2::Carrier, private wire::http2::ServerSession::Owner {
public:
    /// All three must outlive run().
    Multiplexer(Worker& worker, wire::TlsStream& stream, const Peer& peer);

    /// Serves until the connection is over and each of its streams has ended.
    boost::asio::awaitable<void> run();

    /// Called by the worker a few times a second.
    void check_deadline(base::MonoTime now);
    /// No new streams; the connection ends with the last one.
    void drain();
    /// Ends everything; live accesses as SHUTDOWN.
    void shut_down();

    // For the streams.
    Worker& worker() noexcept { return worker_; }
    const Peer& peer() const noexcept { return peer_; }
    /// How many more of the streams, or fewer, have a deadline.
    void count_timed(int change) noexcept { timed_ += change; }
    wire::http2::ServerSession& session() noexcept override { return session_; }

private:
    void on_request(std::int32_t id, wire::http1::Request request, bool ended) override;
    void on_rejected(wire::http1::Rejection rejection) override;
    void on_stream_refused() override;
    void on_data(std::int32_t id, std::string_view bytes) override;
    void on_end(std::int32_t id) override;
    void on_sent(std::int32_t id) override;
    void on_window(std::int32_t id) override;
    void on_closed(std::int32_t id, bool reset, std::size_t unsent) override;
    void before_piece() override;
    void on_lost() override;
    void on_finished_sending() override;

    static boost::asio::awaitable<bool> serve_api(StreamExchange& exchange, wire::http1::Request request);
    void finished(std::int32_t id);
    StreamExchange* find(std::int32_t id);

    Worker& worker_;
    const Peer& peer_;
    wire::http2::ServerSession session_;
    int timed_ = 0;  ///< streams with a deadline: the others need not be looked at
    std::unordered_map<std::int32_t, std::unique_ptr<StreamExchange>> streams_;
    wire::AsyncEvent last_gone_;
    std::optional<base::MonoTime> deadline_;  ///< while no stream is open
    bool drained_ = false;
};

}  // namespace usher::gateway
