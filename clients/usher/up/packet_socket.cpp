#include "clients/usher/up/packet_socket.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

namespace usher::clients::agent {
namespace asio = boost::asio;
using wire::IoStatus;

namespace {
constexpr auto no_throw = asio::as_tuple(asio::use_awaitable);

IoStatus status_of_errno() {
    return errno == EAGAIN || errno == EWOULDBLOCK ? IoStatus::would_block : IoStatus::failed;
}
}  // namespace

IoStatus PacketSocket::try_read(std::span<char> out, std::size_t& count) {
    count = 0;
    if (aborted()) return IoStatus::failed;
    if (!kept_.empty()) {
        count = std::min(kept_.size(), out.size());
        std::copy_n(kept_.begin(), count, out.begin());
        kept_.erase(0, count);
        return IoStatus::done;
    }
    std::array<char, packet_bytes + 1> packet;
    for (;;) {
        const ssize_t n = ::recv(socket_.native_handle(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return status_of_errno();
        // 0: the peer vanished without a word.
        if (n == 0 || static_cast<std::size_t>(n) > packet.size()) return IoStatus::failed;
        if (packet[0] == packet_end && n == 1) return IoStatus::eof;
        if (packet[0] != packet_data) return IoStatus::failed;
        const std::string_view data(packet.data() + 1, static_cast<std::size_t>(n) - 1);
        if (data.empty()) continue;
        count = std::min(data.size(), out.size());
        std::copy_n(data.begin(), count, out.begin());
        kept_.assign(data.substr(count));
        return IoStatus::done;
    }
}

IoStatus PacketSocket::try_write(std::string_view data, std::size_t& count) {
    count = 0;
    while (count < data.size()) {
        if (aborted()) return IoStatus::failed;
        char kind = packet_data;
        const auto part = data.substr(count, packet_bytes);
        std::array<iovec, 2> parts{iovec{&kind, 1}, iovec{const_cast<char*>(part.data()), part.size()}};
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        const ssize_t n = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return status_of_errno();
        count += part.size();
    }
    return IoStatus::done;
}

asio::awaitable<bool> PacketSocket::wait_readable() {
    if (aborted()) co_return false;
    auto [error] = co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, no_throw);
    co_return !error && !aborted();
}

asio::awaitable<bool> PacketSocket::wait_writable() {
    if (aborted()) co_return false;
    auto [error] = co_await socket_.async_wait(asio::posix::stream_descriptor::wait_write, no_throw);
    co_return !error && !aborted();
}

asio::awaitable<bool> PacketSocket::end() { return write_packet(std::string(1, packet_end)); }

void PacketSocket::abort(bool) noexcept {
    boost::system::error_code ignored;  // Closing is the last thing done; there is nobody to tell.
    socket_.close(ignored);
}

asio::awaitable<bool> PacketSocket::read_packet(std::string& packet) {
    std::array<char, 1024> bytes;
    for (;;) {
        if (aborted()) co_return false;
        const ssize_t n = ::recv(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_TRUNC);
        if (n > 0 && static_cast<std::size_t>(n) <= bytes.size()) {
            packet.assign(bytes.data(), static_cast<std::size_t>(n));
            co_return true;
        }
        if (n >= 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) co_return false;
        if (errno != EINTR && !co_await wait_readable()) co_return false;
    }
}

asio::awaitable<bool> PacketSocket::write_packet(std::string packet) {
    for (;;) {
        if (aborted()) co_return false;
        const ssize_t n = ::send(socket_.native_handle(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) co_return true;  // a packet goes as a whole
        if (errno == EINTR) continue;
        if ((errno != EAGAIN && errno != EWOULDBLOCK) || !co_await wait_writable()) co_return false;
    }
}

}  // namespace usher::clients::agent
