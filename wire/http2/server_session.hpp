#pragma once
#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.hpp"
#include "wire/http1/response.hpp"
#include "wire/http2/budget.hpp"
#include "wire/http2/request_builder.hpp"

namespace usher::wire::http2 {

/// Error codes of RFC 9113 §7 that are used here.
enum class ErrorCode : std::uint32_t {
    no_error = 0,
    protocol_error = 1,
    internal_error = 2,
    refused_stream = 7,
    cancel = 8,
    connect_error = 10,
    enhance_your_calm = 11,
};

struct Limits {
    std::uint32_t streams = 1000;         ///< open at once
    std::uint32_t window = 256 * 1024;    ///< of a new stream: what may lie here unread
    std::uint32_t window_max = 1u << 20;  ///< of a stream whose bytes are taken as fast as they come
    std::uint32_t connection_window = 2u << 20;
    /// Unread bytes of all streams beyond which the connection's window is no longer opened.
    std::size_t buffered = 4u << 20;
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, frames for streams that are gone: so many for nothing, and
    /// so many a second. Frames with bytes of tunnels earn more.
    std::uint32_t control_burst = 800, control_per_second = 20;
    /// Streams that were reset, by either side. Each stream that ends properly earns one.
    std::uint32_t resets_burst = 100, resets_per_second = 10;
};

/// The server's side of one HTTP/2 connection (RFC 9113) over nghttp2, without I/O: bytes go in through receive() and
/// come out of fill(); what they mean goes to the Owner. What nghttp2 leaves open to a hostile peer is counted here
/// (see Limits), and past a bound the connection ends with GOAWAY ENHANCE_YOUR_CALM.
class ServerSession {
public:
    /// Called from inside receive() and fill(). None of it may call receive() or fill().
    class Owner {
    public:
        virtual ~Owner() = default;
        /// A valid request. `ended`: the client will send nothing behind it.
        virtual void on_request(std::int32_t stream, http1::Request request, bool ended) = 0;
        /// A request that is not served; the session answers or resets it by itself.
        virtual void on_rejected(http1::Rejection rejection) = 0;
        virtual void on_data(std::int32_t stream, std::string_view bytes) = 0;
        /// The client has ended its direction.
        virtual void on_end(std::int32_t stream) = 0;
        /// All that was given to send() has been taken by fill().
        virtual void on_sent(std::int32_t stream) = 0;
        /// The client may have opened a window; `stream` 0: of any stream.
        virtual void on_window(std::int32_t stream) = 0;
        /// The stream is over: `reset` unless both directions ended properly. `unsent` bytes of send() were not taken.
        virtual void on_closed(std::int32_t stream, bool reset, std::size_t unsent) = 0;
    };

    ServerSession(Owner& owner, Limits limits);
    ~ServerSession();
    ServerSession(const ServerSession&) = delete;
    ServerSession& operator=(const ServerSession&) = delete;

    /// Takes bytes of the connection. False: the connection is to end once what fill() gives has been sent.
    bool receive(std::string_view bytes, base::MonoTime now);
    /// Writes what is to be sent into `out` (at least 32 KiB) and returns how much; 0 when there is nothing.
    std::size_t fill(std::span<char> out);
    bool wants_write() const;
    /// Why the session ended the connection, as a token for the record; empty when it did not. Known once fill() has
    /// nothing more to give.
    std::string_view failure() const noexcept { return failure_; }
    /// Neither side has anything more to say.
    bool over() const;
    /// No new streams; those that are open go on (GOAWAY).
    void drain();

    std::size_t open_streams() const noexcept { return streams_.size(); }

    /// Answers with a whole response. The stream ends with it.
    void respond(std::int32_t stream, const http1::Response& response);
    /// Answers a CONNECT with 200: from now on the stream's DATA is the tunnel's.
    void establish(std::int32_t stream);
    /// How many bytes send() would get through now; 0 while earlier ones wait.
    std::size_t room(std::int32_t stream) const;
    /// Bytes to send; they must stay where they are until on_sent(), or until the stream is closed. Only when the
    /// earlier ones were sent.
    void send(std::int32_t stream, std::string_view bytes);
    /// Bytes of send() that fill() has not taken yet.
    std::size_t unsent(std::int32_t stream) const;
    /// END_STREAM behind what was sent.
    void end(std::int32_t stream);
    /// The owner has taken `bytes` of on_data(): the client may send as many more.
    void consumed(std::int32_t stream, std::size_t bytes, base::MonoTime now);
    /// RST_STREAM; what was not sent yet is dropped at once.
    void reset(std::int32_t stream, ErrorCode code);
    /// Lets go of what was given to send(), for a stream on which nothing will be sent any more.
    void drop(std::int32_t stream);

private:
    struct Stream {
        RequestBuilder builder;
        bool head_done = false;
        bool served = false;  ///< the owner knows it
        bool reset_here = false;
        std::string content;       ///< of a whole response
        std::string_view pending;  ///< what is left to send
        bool end = false;          ///< END_STREAM behind it
        bool deferred = false;
        bool client_ended = false;
        bool finish_with_reset = false;
        std::size_t unread = 0;      ///< given to the owner and not consumed
        std::uint32_t window = 0;    ///< as it is now
        std::uint64_t turnover = 0;  ///< consumed since the window was last looked at
        base::MonoTime turned_at{};
    };
    struct Callbacks;
    friend struct Callbacks;

    Stream* find(std::int32_t id) const;
    void resume(std::int32_t id, Stream& stream);
    bool spend(Budget& budget);
    void fatal(ErrorCode code);
    void let_go(Stream& stream);
    void head_complete(std::int32_t id, Stream& stream, bool ended);

    Owner& owner_;
    Limits limits_;
    nghttp2_session* session_ = nullptr;
    std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;
    Budget control_, resets_;
    base::MonoTime now_{};
    std::size_t buffered_ = 0;       ///< given to the owner and not consumed
    std::size_t owed_ = 0;           ///< of it, what the connection's window was not given back
    std::size_t pending_total_ = 0;  ///< of all streams
    bool failed_ = false;
    std::string_view failure_;
    // While fill() runs.
    std::span<char> out_;
    std::size_t out_used_ = 0;
    bool out_full_ = false;
    std::string_view leftover_;  ///< of nghttp2's own buffer
};

}  // namespace usher::wire::http2
