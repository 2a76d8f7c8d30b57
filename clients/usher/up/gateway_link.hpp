#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "clients/usher/up/link_pulse.hpp"
#include "wire/http2/carrier.hpp"
#include "wire/http2/client_session.hpp"
#include "wire/http2/stream_end.hpp"

namespace usher::clients::agent {

class GatewayLink;

/// One stream to the gateway: a tunnel, or a small request. Resets itself when it goes unfinished.
class GatewayStream final : public wire::http2::StreamEnd {
public:
    /// `request`: nothing is sent on it, END_STREAM has been given already.
    GatewayStream(std::shared_ptr<GatewayLink> link, std::int32_t id, bool request, base::MonoTime deadline);
    ~GatewayStream() override;

    /// Waits for the answer's head. False: the stream ended without one, or its time was over (see timed_out()).
    boost::asio::awaitable<bool> wait_head();
    const wire::http2::ResponseHead& head() const noexcept { return *head_; }
    bool timed_out() const noexcept { return timed_out_; }
    /// Whether the connection broke, or the gateway reset the stream: what lies between its ends is cut.
    bool broken() const noexcept { return gone(); }
    /// The answer's content, at most `limit` bytes of it; nullopt when it is longer or breaks off.
    boost::asio::awaitable<std::optional<std::string>> read_content(std::size_t limit);
    GatewayLink& link() noexcept { return *link_; }

private:
    friend class GatewayLink;
    void on_response(wire::http2::ResponseHead head, bool ended);
    void check_deadline(base::MonoTime now);

    std::shared_ptr<GatewayLink> link_;
    std::optional<wire::http2::ResponseHead> head_;
    std::optional<base::MonoTime> deadline_;  ///< while the head is awaited
    wire::AsyncEvent answered_;
    bool timed_out_ = false;
    bool whole_ = false;  ///< the gateway has ended its direction
};

/// One HTTP/2 connection to the gateway. On the agent's thread; held by shared_ptr.
class GatewayLink final : public wire::http2::Carrier,
                          public std::enable_shared_from_this<GatewayLink>,
                          private wire::http2::ClientSession::Owner {
public:
    /// `on_change` is called when a stream more may be possible, or none any more; until the link is over.
    GatewayLink(std::unique_ptr<wire::TlsStream> tls, wire::BufferPool& pool, const base::Clock& clock,
                std::function<void()> on_change);

    /// Carries the connection until it is over in both directions.
    boost::asio::awaitable<void> run();

    /// A CONNECT; nullptr when no stream can be opened. `authorization` is "Bearer ...".
    std::unique_ptr<GatewayStream> connect(std::string_view authority, std::string_view authorization,
                                           base::MonoTime deadline);
    /// A GET.
    std::unique_ptr<GatewayStream> get(std::string_view authority, std::string_view path,
                                       std::string_view authorization, base::MonoTime deadline);

    bool may_open() const { return !retiring() && session_.may_open(); }
    /// No new streams; over when the last one is.
    bool retiring() const { return lost_ || finished_ || session_.going_away(); }
    bool lost() const noexcept { return lost_; }
    bool answered() const noexcept { return answered_; }  ///< a stream was, so the gateway is of use
    std::size_t open_streams() const noexcept { return streams_.size(); }

    /// No new streams from now on; those that are go on.
    void retire();
    /// Ends all of it now.
    void abort();
    /// Called every second or so.
    void tick(base::MonoTime now);

    wire::http2::ClientSession& session() noexcept override { return session_; }

private:
    friend class GatewayStream;
    std::unique_ptr<GatewayStream> add(std::int32_t id, bool request, base::MonoTime deadline);
    void forget(std::int32_t id);
    GatewayStream* find(std::int32_t id);

    void on_response(std::int32_t id, wire::http2::ResponseHead head, bool ended) override;
    void on_going_away() override;
    void on_pong() override { pulse_.heard(now()); }
    void on_data(std::int32_t id, std::string_view bytes) override;
    void on_end(std::int32_t id) override;
    void on_sent(std::int32_t id) override;
    void on_window(std::int32_t id) override;
    void on_closed(std::int32_t id, bool reset, std::size_t unsent) override;
    void on_lost() override;
    void on_finished_sending() override { closing_since_ = now(); }

    std::unique_ptr<wire::TlsStream> tls_;
    std::function<void()> on_change_;
    wire::http2::ClientSession session_;
    std::unordered_map<std::int32_t, GatewayStream*> streams_;
    LinkPulse pulse_;
    std::optional<base::MonoTime> closing_since_;
    bool answered_ = false;
    bool finished_ = false;
    bool lost_ = false;
};

}  // namespace usher::clients::agent
