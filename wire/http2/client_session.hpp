#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wire/http2/session.hpp"

namespace usher::wire::http2 {

/// The head of a response. Names are lower case; at most 64 fields and 16 KiB.
struct ResponseHead {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> fields;
    /// The value of a field that stands exactly once; else empty.
    std::string_view field(std::string_view lower_name) const noexcept;
};

/// The client's side of one HTTP/2 connection, for tunnels (RFC 9113 §8.5) and small requests.
class ClientSession final : public Session {
public:
    class Owner : public Session::Owner {
    public:
        /// `ended`: no content follows.
        virtual void on_response(std::int32_t stream, ResponseHead head, bool ended) = 0;
        /// GOAWAY has come: no more streams on this connection; those that the server knows go on.
        virtual void on_going_away() = 0;
        /// The answer to ping().
        virtual void on_pong() {}
    };

    explicit ClientSession(Owner& owner, const FlowLimits& flow = {});

    /// Whether another stream may be opened now: the server takes that many, and has not said GOAWAY.
    bool may_open() const;
    bool going_away() const noexcept { return going_away_; }

    /// Opens a stream with CONNECT; its DATA is the tunnel's once on_response() says 200. `authority` is host:port.
    /// Returns the stream, or -1 when there can be none. `authorization` is never put into the compression's table.
    std::int32_t connect(std::string_view authority, std::string_view authorization);
    /// Opens a stream with a request that has no content.
    std::int32_t request(std::string_view method, std::string_view authority, std::string_view path,
                         std::string_view authorization);
    void ping();
    /// Says GOAWAY: the connection is over when its streams are.
    void finish();

private:
    struct Response;

    std::int32_t open(const std::vector<nghttp2_nv>& pairs, bool tunnel);
    int head_begins(const nghttp2_frame& frame) override;
    int head_field(const nghttp2_frame& frame, std::string_view name, std::string_view value) override;
    void head_complete(std::int32_t id, Stream& stream, bool ended) override;
    void head_invalid() override {}
    void going_away_received() override;
    void pong_received() override { owner_.on_pong(); }

    Owner& owner_;
    bool going_away_ = false;
};

}  // namespace usher::wire::http2
