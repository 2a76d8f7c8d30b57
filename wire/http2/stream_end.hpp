#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "wire/async_event.hpp"
#include "wire/http2/carrier.hpp"
#include "wire/tunnel_end.hpp"

namespace usher::wire::http2 {

/// One stream of an HTTP/2 connection as the end of a tunnel. Bytes that the other end cannot take lie here, at most a
/// stream's window of them; what the peer cannot take is not asked for.
class StreamEnd : public TunnelEnd {
public:
    /// `peer_ended`: the peer has ended its direction already.
    StreamEnd(Carrier& carrier, std::int32_t id, bool peer_ended)
        : carrier_(carrier), id_(id), peer_ended_(peer_ended) {}

    IoStatus try_read(std::span<char> out, std::size_t& count) override;
    boost::asio::awaitable<bool> wait_readable() override;
    std::size_t room() override;
    boost::asio::awaitable<bool> wait_room() override;
    IoStatus put(BufferPool::Block block, std::size_t count) override;
    boost::asio::awaitable<IoStatus> shutdown_send() override;
    void abort(bool reset) noexcept override;
    std::size_t unacknowledged() const noexcept override;
    std::uint64_t unconfirmed() const noexcept override;

    // What the connection has to say.
    void on_data(std::string_view bytes);
    void on_end();
    void on_sent();
    void on_window() { may_write_.set(); }
    /// The stream is over; `unsent` bytes of put() never went out.
    void on_closed(bool reset, std::size_t unsent);
    /// The whole connection is.
    void on_lost();

protected:
    std::int32_t id() const noexcept { return id_; }
    bool gone() const noexcept { return aborted_ || reset_; }
    /// Whether the session knows the stream no longer.
    bool closed() const noexcept { return closed_; }
    /// END_STREAM was given to the session, other than by shutdown_send().
    void mark_ended() noexcept { ended_ = true; }

private:
    /// So many bytes of put() are in front of this place of the connection's own bytes.
    struct Mark {
        std::uint64_t bytes = 0;
        std::uint64_t place = 0;
    };

    Carrier& carrier_;
    std::int32_t id_;
    std::string arrived_;
    std::size_t taken_ = 0;  ///< of arrived_
    BufferPool::Block sending_;
    std::size_t unsent_ = 0;  ///< of what was put, once the session has let go of it
    std::uint64_t put_total_ = 0;
    Mark marks_[3];  ///< the last block that went out, one of half a second before it, and one of half a second before
                     ///< that
    base::MonoTime marked_at_;
    AsyncEvent may_read_, may_write_;
    bool peer_ended_;
    bool ended_ = false;    ///< END_STREAM was given to the session
    bool closed_ = false;   ///< the session knows it no longer
    bool reset_ = false;    ///< by the peer, or with the connection
    bool aborted_ = false;  ///< by us
};

}  // namespace usher::wire::http2
