#pragma once
#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>

#include "base/clock.hpp"

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

/// What a peer may have on its way to us.
struct FlowLimits {
    std::uint32_t window = 256 * 1024;    ///< of a new stream: what may lie here unread
    std::uint32_t window_max = 1u << 20;  ///< of a stream whose bytes are taken as fast as they come
    std::uint32_t connection_window = 2u << 20;
    /// Unread bytes of all streams beyond which the connection's window is no longer opened.
    std::size_t buffered = 4u << 20;
};

/// What both sides of an HTTP/2 connection (RFC 9113) do alike, over nghttp2 and without I/O: frames in and out, the
/// streams' bytes and their flow control. Bytes go in through receive() and come out of fill(). How streams begin is
/// the derived classes' matter.
class Session {
public:
    /// Called from inside receive() and fill(). None of it may call receive() or fill().
    class Owner {
    public:
        virtual ~Owner() = default;
        virtual void on_data(std::int32_t stream, std::string_view bytes) = 0;
        /// The peer has ended its direction.
        virtual void on_end(std::int32_t stream) = 0;
        /// All that was given to send() has been taken by fill().
        virtual void on_sent(std::int32_t stream) = 0;
        /// The peer may have opened a window; `stream` 0: of any stream.
        virtual void on_window(std::int32_t stream) = 0;
        /// The stream is over: `reset` unless both directions ended properly. `unsent` bytes of send() were not taken.
        virtual void on_closed(std::int32_t stream, bool reset, std::size_t unsent) = 0;
    };

    virtual ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

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

    std::size_t open_streams() const noexcept { return streams_.size(); }

    /// How many bytes send() would get through now; 0 while earlier ones wait.
    std::size_t room(std::int32_t stream) const;
    /// Bytes to send; they must stay where they are until on_sent(), or until the stream is closed. Only when the
    /// earlier ones were sent.
    void send(std::int32_t stream, std::string_view bytes);
    /// Bytes of send() that fill() has not taken yet.
    std::size_t unsent(std::int32_t stream) const;
    /// END_STREAM behind what was sent.
    void end(std::int32_t stream);
    /// The owner has taken `bytes` of on_data(): the peer may send as many more.
    void consumed(std::int32_t stream, std::size_t bytes, base::MonoTime now);
    /// RST_STREAM; what was not sent yet is dropped at once.
    void reset(std::int32_t stream, ErrorCode code);
    /// Lets go of what was given to send(), for a stream on which nothing will be sent any more.
    void drop(std::int32_t stream);

protected:
    struct Stream {
        virtual ~Stream() = default;
        bool head_done = false;  ///< the peer's
        bool served = false;     ///< the owner knows it
        bool reset_here = false;
        std::string_view pending;  ///< what is left to send
        bool end = false;          ///< END_STREAM behind it
        bool deferred = false;
        bool peer_ended = false;
        std::size_t unread = 0;      ///< given to the owner and not consumed
        std::uint32_t window = 0;    ///< as it is now
        std::uint64_t turnover = 0;  ///< consumed since the window was last looked at
        base::MonoTime turned_at{};
    };
    enum class Side { server, client };

    /// `option` may be null. Sends nothing yet: the derived class submits its SETTINGS through start().
    Session(Owner& owner, const FlowLimits& flow, Side side, nghttp2_option* option);
    void start(std::span<const nghttp2_settings_entry> settings);

    // What the derived classes do about streams' heads; results are those of nghttp2's callbacks.
    virtual void frame_begins(const nghttp2_frame_hd&) {}
    virtual int head_begins(const nghttp2_frame& frame) = 0;
    virtual int head_field(const nghttp2_frame& frame, std::string_view name, std::string_view value) = 0;
    /// The head of a stream is whole; called until `head_done` is set.
    virtual void head_complete(std::int32_t id, Stream& stream, bool ended) = 0;
    /// A head with a field that HTTP/2 forbids. The stream is reset.
    virtual void head_invalid() = 0;
    virtual void going_away_received() {}
    virtual void pong_received() {}
    /// A frame with bytes of a stream went in or out.
    virtual void data_moved() {}
    virtual void end_sent(std::int32_t, Stream&) {}
    virtual void stream_over(Stream&, std::uint32_t) {}

    nghttp2_session* handle() const noexcept { return session_; }
    base::MonoTime now() const noexcept { return now_; }
    const FlowLimits& flow() const noexcept { return flow_; }
    bool failed() const noexcept { return failed_; }
    /// The connection ends: GOAWAY is the last thing that is sent. `why` is a literal.
    void fatal(ErrorCode code, std::string_view why);
    Stream* find(std::int32_t id) const;
    void add(std::int32_t id, std::unique_ptr<Stream> stream);
    /// Bytes that the stream sends of itself, before the owner gives any.
    void preload(Stream& stream, std::string_view bytes);
    static nghttp2_data_provider provider_of(Stream& stream);
    static nghttp2_nv pair(std::string_view name, std::string_view value);

private:
    struct Callbacks;
    friend struct Callbacks;

    void resume(std::int32_t id, Stream& stream);
    void let_go(Stream& stream);

    Owner& owner_;
    FlowLimits flow_;
    nghttp2_session* session_ = nullptr;
    std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;
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
