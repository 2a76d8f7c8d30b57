#pragma once
#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wire/buffer_pool.hpp"
#include "wire/io_status.hpp"

namespace usher::wire {

/// TLS over a connected stream socket, in steps that never block: many records a send, large receives, and buffers only
/// while bytes are in them. TLS 1.2 and 1.3. It does not own the socket, and does not wait: TlsStream does both. Of one
/// thread.
class TlsRecords {
public:
    /// The server's side of `fd`.
    TlsRecords(int fd, SSL_CTX* context, BufferPool& pool);
    /// The client's side, which speaks HTTP/2 alone (ALPN): the handshake fails unless the context's authorities vouch
    /// for `host`, a name or an address.
    TlsRecords(int fd, SSL_CTX* context, BufferPool& pool, const std::string& host);
    ~TlsRecords();
    TlsRecords(const TlsRecords&) = delete;
    TlsRecords& operator=(const TlsRecords&) = delete;

    /// `would_block`: more has to come from the peer, once what there is to send has been flushed.
    IoStatus shake();
    /// Decrypts what has arrived into `out`; `count` is how many bytes. May fill `out` from several records.
    IoStatus try_read(std::span<char> out, std::size_t& count);
    /// Encrypts `data` (at most BufferPool::bulk_bytes). Only when flushed().
    IoStatus encrypt(std::string_view data);
    /// Sends what is encrypted; `done` when nothing is left. `flags` as of send(2), besides those that it always has.
    IoStatus try_flush(int flags = 0);
    bool flushed() const noexcept { return out_begin_ == out_end_; }
    /// Makes a close_notify, to be flushed; once, however often it is called. Only when flushed().
    IoStatus close_notify();

    /// The socket is gone: from now on each step fails.
    void detach() noexcept { fd_ = -1; }

    /// The protocol that ALPN chose; empty when the client offered none. After the handshake.
    std::string_view protocol() const noexcept;
    /// SHA-256 of the public key (SubjectPublicKeyInfo, DER) of the certificate that the peer has shown and proved, and
    /// the context has verified; nullopt without one. After the handshake.
    std::optional<std::array<std::uint8_t, 32>> peer_key_sha256() const;
    /// Bytes given to encrypt() that the peer's host has not acknowledged: the wire's, without the alert that a failure
    /// to read made, less the mean overhead of this stream; 0 when detached.
    std::size_t unacknowledged() const noexcept;
    /// Upper bound of the bytes given to encrypt() that the peer cannot be relied on to get: all of them when detached.
    std::uint64_t unconfirmed() const noexcept;
    std::uint64_t encrypted() const noexcept { return plain_total_; }  ///< bytes given to encrypt() in all
    /// A fixed phrase for logs: never data from the peer.
    std::string last_error() const;
    /// What made the last step fail: the socket's errno, else OpenSSL's code; both 0 where the peer just ended.
    int socket_error() const noexcept { return socket_error_; }
    unsigned long ssl_error() const noexcept { return ssl_error_; }
    /// Why the peer's certificate was refused; empty when it was not.
    std::string verification_error() const;

private:
    friend struct TlsBio;
    IoStatus after_failure(int result);

    int fd_;
    BufferPool& pool_;
    SSL* ssl_ = nullptr;
    BufferPool::Block in_;
    std::size_t in_begin_ = 0, in_end_ = 0;
    BufferPool::Block out_;
    std::size_t out_begin_ = 0, out_end_ = 0;
    std::size_t alert_bytes_ = 0;
    BufferPool::Size receive_size_ = BufferPool::Size::chunk;
    std::uint64_t plain_total_ = 0, wire_total_ = 0;  // of encrypt(): what came in, and what it became
    bool may_receive_ = true;                         // false: the BIO answers from in_ only
    bool peer_fin_ = false;                           // recv() has returned 0
    int socket_error_ = 0;
    unsigned long ssl_error_ = 0;
};

}  // namespace usher::wire
