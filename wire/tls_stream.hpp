#pragma once
#include <openssl/ssl.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "wire/tunnel_end.hpp"

namespace usher::wire {

/// One side of TLS over a TCP socket, made for relaying: many records a send, large receives, the socket is
/// tried before it is waited for, and buffers are held only while bytes are in them. Lives on one thread.
/// TLS 1.2 and 1.3.
///
/// Steps never block and never suspend: a caller loops over them and awaits wait_readable()/wait_writable() in between.
/// One reader and one writer may be suspended at the same time. abort() makes every wait return.
class TlsStream final : public TunnelEnd {
public:
    /// The server's side.
    TlsStream(boost::asio::ip::tcp::socket socket, SSL_CTX* context, BufferPool& pool);
    /// The client's side, which speaks HTTP/2 alone (ALPN): the handshake fails unless the context's authorities vouch
    /// for `host`, a name or an address.
    TlsStream(boost::asio::ip::tcp::socket socket, SSL_CTX* context, BufferPool& pool, const std::string& host);
    ~TlsStream() override;
    TlsStream(const TlsStream&) = delete;
    TlsStream& operator=(const TlsStream&) = delete;

    boost::asio::awaitable<IoStatus> handshake();

    /// Decrypts what has arrived into `out`; `count` is how many bytes. May fill `out` from several records.
    IoStatus try_read(std::span<char> out, std::size_t& count) override;
    /// Encrypts `data` (at most BufferPool::chunk_bytes) and begins to send it. Only when flushed().
    IoStatus encrypt(std::string_view data);
    /// Sends what is encrypted; `done` when nothing is left. `flags` as of send(2), besides those that it always has.
    IoStatus try_flush(int flags = 0);
    bool flushed() const noexcept { return out_begin_ == out_end_; }

    boost::asio::awaitable<bool> wait_readable() override;
    boost::asio::awaitable<bool> wait_writable();  ///< false: aborted

    std::size_t room() override { return flushed() ? BufferPool::chunk_bytes : 0; }
    boost::asio::awaitable<bool> wait_room() override;
    IoStatus put(BufferPool::Block block, std::size_t count) override;

    /// Reads at least one byte. For what is not the relay.
    boost::asio::awaitable<IoStatus> read_some(std::span<char> out, std::size_t& count);
    boost::asio::awaitable<IoStatus> write_all(std::string_view data);
    /// Sends close_notify and FIN: the peer sees the end of this direction; reading goes on.
    boost::asio::awaitable<IoStatus> shutdown_send() override;

    /// Closes the socket with a reset if `reset`, else as it is. Idempotent.
    void abort(bool reset) noexcept override;
    /// The protocol that ALPN chose; empty when the client offered none. After the handshake.
    std::string_view protocol() const noexcept;
    bool aborted() const noexcept { return !socket_.is_open(); }
    /// Whether the peer has reset the connection, as the kernel knows without a read. One system call.
    bool broken() noexcept;

    /// Bytes given to encrypt() that the peer's host has not acknowledged: the wire's, without the alert that a failure
    /// to read made, less the mean overhead of this stream; 0 when closed.
    std::size_t unacknowledged() const noexcept override;
    /// A fixed phrase for logs: never data from the peer.
    std::string last_error() const;
    /// Why the peer's certificate was refused; empty when it was not.
    std::string verification_error() const;
    boost::asio::ip::tcp::socket& socket() noexcept { return socket_; }

private:
    friend struct TlsBio;
    IoStatus after_failure(int result);

    boost::asio::ip::tcp::socket socket_;
    BufferPool& pool_;
    SSL* ssl_ = nullptr;
    BufferPool::Block in_;
    std::size_t in_begin_ = 0, in_end_ = 0;
    BufferPool::Block out_;
    std::size_t out_begin_ = 0, out_end_ = 0;
    std::size_t alert_bytes_ = 0;
    std::uint64_t plain_total_ = 0, wire_total_ = 0;  // of encrypt(): what came in, and what it became
    bool may_receive_ = true;                         // false: the BIO answers from in_ only
    bool peer_fin_ = false;                           // recv() has returned 0
    int socket_error_ = 0;
    unsigned long ssl_error_ = 0;
};

}  // namespace usher::wire
