#pragma once
#include <cstdint>
#include <string_view>

#include "wire/http1/response.hpp"
#include "wire/http2/budget.hpp"
#include "wire/http2/request_builder.hpp"
#include "wire/http2/session.hpp"

namespace usher::wire::http2 {

struct Limits {
    FlowLimits flow{};
    std::uint32_t streams = 1000;  ///< open at once
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, frames for streams that are gone: so many for nothing, and
    /// so many a second. Frames with bytes of tunnels earn more.
    std::uint32_t control_burst = 800, control_per_second = 20;
    /// Streams that were reset, by either side. Each stream that ends properly earns one.
    std::uint32_t resets_burst = 100, resets_per_second = 10;
};

/// The server's side of one HTTP/2 connection. What nghttp2 leaves open to a hostile peer is counted here (see Limits),
/// and past a bound the connection ends with GOAWAY ENHANCE_YOUR_CALM.
class ServerSession final : public Session {
public:
    class Owner : public Session::Owner {
    public:
        /// A valid request. `ended`: the client will send nothing behind it.
        virtual void on_request(std::int32_t stream, http1::Request request, bool ended) = 0;
        /// A request that is not served; the session answers or resets it by itself.
        virtual void on_rejected(http1::Rejection rejection) = 0;
        /// A stream more than Limits::streams; the session resets it as REFUSED_STREAM by itself.
        virtual void on_stream_refused() {}
    };

    ServerSession(Owner& owner, Limits limits);

    /// No new streams; those that are open go on (GOAWAY).
    void drain();
    /// Answers with a whole response. The stream ends with it.
    void respond(std::int32_t stream, const http1::Response& response);
    /// Answers a CONNECT with 200: from now on the stream's DATA is the tunnel's.
    void establish(std::int32_t stream);

private:
    struct Request;

    void frame_begins(const nghttp2_frame_hd& head) override;
    int head_begins(const nghttp2_frame& frame) override;
    int head_field(const nghttp2_frame& frame, std::string_view name, std::string_view value) override;
    void head_complete(std::int32_t id, Stream& stream, bool ended) override;
    void head_invalid() override { owner_.on_rejected({400, "http2-headers"}); }
    void data_moved() override;
    void end_sent(std::int32_t id, Stream& stream) override;
    void stream_over(Stream& stream, std::uint32_t code) override;
    void spend(Budget& budget);

    Owner& owner_;
    Limits limits_;
    Budget control_, resets_;
};

}  // namespace usher::wire::http2
