#pragma once
#include <boost/asio/awaitable.hpp>

#include "base/clock.hpp"
#include "wire/async_event.hpp"
#include "wire/buffer_pool.hpp"
#include "wire/http2/session.hpp"
#include "wire/tls_stream.hpp"

namespace usher::wire::http2 {

/// Carries the bytes of one HTTP/2 connection between its TLS stream and its session. On one thread.
class Carrier {
public:
    /// All three must outlive carry().
    Carrier(TlsStream& stream, BufferPool& pool, const base::Clock& clock)
        : stream_(stream), pool_(pool), clock_(clock) {}
    virtual ~Carrier() = default;
    Carrier(const Carrier&) = delete;
    Carrier& operator=(const Carrier&) = delete;

    virtual Session& session() noexcept = 0;
    /// After each change of the session.
    void wake_writer();
    base::MonoTime now() const noexcept { return clock_.mono(); }
    /// As TlsRecords does, of all streams together.
    std::uint64_t encrypted() const noexcept { return stream_.encrypted(); }
    std::uint64_t unconfirmed() const noexcept { return stream_.unconfirmed(); }

protected:
    /// Returns when the connection is over in both directions; then on_lost() has been called.
    boost::asio::awaitable<void> carry();
    TlsStream& stream() noexcept { return stream_; }

    /// Called before each piece that is read or written, when nothing of the session is under way.
    virtual void before_piece() {}
    /// No stream can go on: the peer gets and sends nothing any more. Called once.
    virtual void on_lost() = 0;
    /// The last bytes are on their way; what is left is that the peer ends its direction.
    virtual void on_finished_sending() = 0;

private:
    boost::asio::awaitable<void> guarded(boost::asio::awaitable<void> half);
    boost::asio::awaitable<void> read();
    boost::asio::awaitable<void> write();
    void lose();

    TlsStream& stream_;
    BufferPool& pool_;
    const base::Clock& clock_;
    AsyncEvent to_write_;
    bool reading_ = true;
    bool lost_ = false;
};

}  // namespace usher::wire::http2
