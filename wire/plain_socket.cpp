#include "wire/plain_socket.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

namespace usher::wire {
namespace asio = boost::asio;

IoStatus PlainSocket::try_read(std::span<char> out, std::size_t& count) {
    count = 0;
    if (aborted()) return IoStatus::failed;
    for (;;) {
        const ssize_t n = ::recv(socket_.native_handle(), out.data(), out.size(), MSG_DONTWAIT);
        if (n > 0) {
            count = static_cast<std::size_t>(n);
            return IoStatus::done;
        }
        if (n == 0) return IoStatus::eof;
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? IoStatus::would_block : IoStatus::failed;
    }
}

IoStatus PlainSocket::try_write(std::string_view data, std::size_t& count) {
    count = 0;
    while (count < data.size()) {
        if (aborted()) return IoStatus::failed;
        const ssize_t n =
            ::send(socket_.native_handle(), data.data() + count, data.size() - count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            count += static_cast<std::size_t>(n);
            continue;
        }
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? IoStatus::would_block : IoStatus::failed;
    }
    return IoStatus::done;
}

asio::awaitable<std::tuple<boost::system::error_code>> PlainSocket::readable() {
    return socket_.async_wait(asio::socket_base::wait_read, asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<bool> PlainSocket::wait_readable() {
    if (aborted()) co_return false;
    auto [error] = co_await readable();
    co_return !error && !aborted();
}

asio::awaitable<bool> PlainSocket::wait_writable() {
    if (aborted()) co_return false;
    auto [error] = co_await socket_.async_wait(asio::socket_base::wait_write, asio::as_tuple(asio::use_awaitable));
    co_return !error && !aborted();
}

void PlainSocket::shutdown_send() noexcept {
    boost::system::error_code ignored;  // The app may have gone already; the next read tells.
    if (!aborted()) socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void PlainSocket::abort(bool reset) noexcept {
    if (aborted()) return;
    boost::system::error_code ignored;  // Closing is the last thing done; there is nobody to tell.
    if (reset) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
}

std::size_t PlainSocket::unacknowledged() noexcept {
    int bytes = 0;
    if (aborted() || ::ioctl(socket_.native_handle(), SIOCOUTQ, &bytes) != 0 || bytes < 0) return 0;
    return static_cast<std::size_t>(bytes);
}

}  // namespace usher::wire
