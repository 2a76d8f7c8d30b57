#include "wire/tls_stream.hpp"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/impl/error.ipp>  // the only part of Asio's TLS that is used, so it is compiled here
#include <boost/asio/use_awaitable.hpp>

namespace usher::wire {
namespace asio = boost::asio;

TlsStream::TlsStream(asio::ip::tcp::socket socket, SSL_CTX* context, BufferPool& pool)
    : socket_(std::move(socket)), records_(socket_.native_handle(), context, pool) {}

TlsStream::TlsStream(asio::ip::tcp::socket socket, SSL_CTX* context, BufferPool& pool, const std::string& host)
    : socket_(std::move(socket)), records_(socket_.native_handle(), context, pool, host) {}

asio::awaitable<IoStatus> TlsStream::handshake() {
    for (;;) {
        const IoStatus status = records_.shake();
        while (!flushed()) {
            const IoStatus sent = try_flush();
            if (sent == IoStatus::failed) co_return sent;
            if (sent == IoStatus::would_block && !co_await wait_writable()) co_return IoStatus::failed;
        }
        if (status != IoStatus::would_block) co_return status;
        if (!co_await wait_readable()) co_return IoStatus::failed;
    }
}

void TlsStream::acknowledge_now() noexcept {
    const int on = 1;
    // Only speed depends on it.
    if (!aborted()) (void)::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

asio::awaitable<bool> TlsStream::wait_readable() {
    if (aborted()) co_return false;
    auto [error] = co_await socket_.async_wait(asio::socket_base::wait_read, asio::as_tuple(asio::use_awaitable));
    co_return !error && !aborted();
}

asio::awaitable<bool> TlsStream::wait_writable() {
    if (aborted()) co_return false;
    auto [error] = co_await socket_.async_wait(asio::socket_base::wait_write, asio::as_tuple(asio::use_awaitable));
    co_return !error && !aborted();
}

asio::awaitable<bool> TlsStream::wait_room() { co_return co_await write_all({}) == IoStatus::done; }

IoStatus TlsStream::put(BufferPool::Block block, std::size_t count) {
    const IoStatus encrypted = encrypt({block.data(), count});
    block.reset();  // The ciphertext is a copy, so a slow client holds one block, not two.
    if (encrypted != IoStatus::done) return encrypted;
    (void)try_flush();  // what cannot be sent leaves no room, and waiting for room tells why
    // A peer that takes whatever comes gets more at once; one that does not holds a small block, not a large one.
    put_bytes_ = flushed() && count >= BufferPool::chunk_bytes ? BufferPool::bulk_bytes : BufferPool::chunk_bytes;
    return IoStatus::done;
}

asio::awaitable<IoStatus> TlsStream::read_some(std::span<char> out, std::size_t& count) {
    for (;;) {
        const IoStatus status = try_read(out, count);
        if (status != IoStatus::would_block) co_return status;
        if (!co_await wait_readable()) co_return IoStatus::failed;
    }
}

asio::awaitable<IoStatus> TlsStream::write_all(std::string_view data) {
    while (!data.empty() || !flushed()) {
        if (flushed()) {
            const std::string_view chunk = data.substr(0, BufferPool::chunk_bytes);
            if (encrypt(chunk) != IoStatus::done) co_return IoStatus::failed;
            data.remove_prefix(chunk.size());
        }
        const IoStatus sent = try_flush();
        if (sent == IoStatus::failed) co_return sent;
        if (sent == IoStatus::would_block && !co_await wait_writable()) co_return IoStatus::failed;
    }
    co_return IoStatus::done;
}

asio::awaitable<IoStatus> TlsStream::shutdown_send() {
    if (aborted()) co_return IoStatus::failed;
    if (!flushed()) {
        const IoStatus before = co_await write_all({});
        if (before != IoStatus::done) co_return before;
    }
    if (close_notify() != IoStatus::done) co_return IoStatus::failed;
    (void)try_flush(MSG_MORE);  // the FIN goes in the same segment
    const IoStatus sent = co_await write_all({});
    if (sent != IoStatus::done) co_return sent;
    boost::system::error_code ignored;  // The peer may have reset meanwhile; the next read tells.
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    co_return IoStatus::done;
}

boost::system::error_code TlsStream::failure() const noexcept {
    if (aborted()) return asio::error::bad_descriptor;
    if (const int error = records_.socket_error(); error != 0) return {error, asio::error::get_system_category()};
    const unsigned long error = records_.ssl_error();
    // OpenSSL 3 has a code of its own for it, earlier ones have none.
    if (error == 0 || ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return asio::ssl::error::stream_truncated;
    return {static_cast<int>(error), asio::error::get_ssl_category()};
}

void TlsStream::abort(bool reset) noexcept {
    if (!socket_.is_open()) return;
    boost::system::error_code ignored;  // Closing is the last thing done; there is nobody to tell.
    if (reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    records_.detach();
    socket_.close(ignored);
}

bool TlsStream::peer_gone() noexcept {
    if (aborted()) return true;
    pollfd poll_for{socket_.native_handle(), 0, 0};
    return ::poll(&poll_for, 1, 0) > 0 && (poll_for.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace usher::wire
