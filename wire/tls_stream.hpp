#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "wire/tls_records.hpp"
#include "wire/tunnel_end.hpp"

namespace usher::wire {

/// One side of TLS over a TCP socket, made for relaying: many records a send, large receives, the socket is
/// tried before it is waited for, and buffers are held only while bytes are in them. Lives on one thread.
/// TLS 1.2 and 1.3.
///
/// Steps never block and never suspend: a caller loops over them and awaits wait_readable()/wait_writable() in between.
/// One reader and one writer may be suspended at the same time. abort() makes every wait return.
///
/// It is an Asio stream too, for whatever is not the relay: see async_read_some() and the next.
class TlsStream final : public TunnelEnd {
public:
    /// The server's side.
    TlsStream(boost::asio::ip::tcp::socket socket, SSL_CTX* context, BufferPool& pool);
    /// The client's side, which speaks HTTP/2 alone (ALPN): the handshake fails unless the context's authorities vouch
    /// for `host`, a name or an address.
    TlsStream(boost::asio::ip::tcp::socket socket, SSL_CTX* context, BufferPool& pool, const std::string& host);
    TlsStream(const TlsStream&) = delete;
    TlsStream& operator=(const TlsStream&) = delete;

    boost::asio::awaitable<IoStatus> handshake();

    IoStatus try_read(std::span<char> out, std::size_t& count) override { return records_.try_read(out, count); }
    /// As TlsRecords does.
    IoStatus encrypt(std::string_view data) { return records_.encrypt(data); }
    IoStatus try_flush(int flags = 0) { return records_.try_flush(flags); }
    bool flushed() const noexcept { return records_.flushed(); }
    IoStatus close_notify() { return records_.close_notify(); }

    boost::asio::awaitable<bool> wait_readable() override;
    boost::asio::awaitable<bool> wait_writable();  ///< false: aborted

    std::size_t room() override { return flushed() ? put_bytes_ : 0; }
    boost::asio::awaitable<bool> wait_room() override;
    IoStatus put(BufferPool::Block block, std::size_t count) override;

    /// Reads at least one byte. For what is not the relay.
    boost::asio::awaitable<IoStatus> read_some(std::span<char> out, std::size_t& count);
    boost::asio::awaitable<IoStatus> write_all(std::string_view data);
    /// Sends close_notify and FIN: the peer sees the end of this direction; reading goes on.
    boost::asio::awaitable<IoStatus> shutdown_send() override;

    // AsyncReadStream and AsyncWriteStream of Boost.Asio, with any completion token. Defined in
    // wire/tls_stream_async.hpp, which only who uses them includes. After the handshake. At most one read, and at most
    // one write or shutdown, may be outstanding at a time, whichever of the two interfaces it is of. The stream must
    // outlive them, and a handler's executor must run on the stream's thread. An operation ends with
    // error::operation_aborted by its cancellation slot or by abort(), and what is begun after abort() with
    // error::bad_descriptor. Cancelling one leaves the stream in order: nothing is lost, torn or sent twice.
    using executor_type = boost::asio::ip::tcp::socket::executor_type;
    executor_type get_executor() noexcept { return socket_.get_executor(); }
    /// Reads at least one byte into the first buffer that is not empty. error::eof is the peer's close_notify; an end
    /// without it is ssl::error::stream_truncated. Cancellation of each type is total: nothing has been read.
    template <class MutableBufferSequence, class ReadToken>
    auto async_read_some(const MutableBufferSequence& buffers, ReadToken&& token);
    /// Takes at least one byte, at most BufferPool::chunk_bytes, and is complete when the kernel has it. Cancellation
    /// is terminal or partial: the count that comes with it says how many bytes were taken, which go with the next
    /// write or shutdown.
    template <class ConstBufferSequence, class WriteToken>
    auto async_write_some(const ConstBufferSequence& buffers, WriteToken&& token);
    /// As shutdown_send(), so unlike ssl::stream it does not wait for the peer's end. Cancellation is terminal or
    /// partial, and the shutdown may be begun again.
    template <class ShutdownToken>
    auto async_shutdown(ShutdownToken&& token);
    /// What made the last step fail, in the words of Asio.
    boost::system::error_code failure() const noexcept;

    /// Closes the socket with a reset if `reset`, else as it is. Idempotent.
    void abort(bool reset) noexcept override;
    std::string_view protocol() const noexcept { return records_.protocol(); }  ///< as TlsRecords says, as are the next
    std::size_t unacknowledged() const noexcept override { return records_.unacknowledged(); }
    std::uint64_t unconfirmed() const noexcept override { return records_.unconfirmed(); }
    std::uint64_t encrypted() const noexcept { return records_.encrypted(); }
    std::string last_error() const { return records_.last_error(); }
    std::string verification_error() const { return records_.verification_error(); }
    std::optional<std::array<std::uint8_t, 32>> peer_key_sha256() const { return records_.peer_key_sha256(); }
    bool aborted() const noexcept { return !socket_.is_open(); }
    /// Whether the peer has reset the connection, as the kernel knows without a read. One system call.
    bool peer_gone() noexcept override;

    /// Has the kernel acknowledge at once what has come, instead of some 40 ms later. One system call.
    void acknowledge_now() noexcept;

    boost::asio::ip::tcp::socket& socket() noexcept { return socket_; }

private:
    boost::asio::ip::tcp::socket socket_;
    TlsRecords records_;
    std::size_t put_bytes_ = BufferPool::chunk_bytes;  // what room() offers
};

}  // namespace usher::wire
