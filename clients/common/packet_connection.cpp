#include "clients/common/packet_connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace usher::clients {

using base::Errc;
using base::Result;

namespace {

constexpr std::size_t packet_bytes = 32 * 1024;
constexpr char packet_data = 'd', packet_end = 'e';

Result<void> wait_readable(int fd, Deadline deadline, const StopSignal* stop) {
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        if (left <= 0) return {Errc::deadline_exceeded, "the agent did not answer in time"};
        std::array<pollfd, 2> fds{pollfd{fd, POLLIN, 0}, pollfd{stop ? stop->fd() : -1, POLLIN, 0}};
        const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(std::min<long long>(left, 60'000)));
        if (ready < 0 && errno != EINTR) return {Errc::internal, std::string("poll: ") + std::strerror(errno)};
        if (fds[1].revents != 0) return {Errc::unavailable, "stopped"};
        if (ready > 0 && fds[0].revents != 0) return {};
    }
}

}  // namespace

PacketConnection::Moved PacketConnection::failed(const char* what) {
    error_ = std::string("the tunnel through the agent broke: ") + what;
    return {Io::failed, 0};
}

Result<void> PacketConnection::send_packet(std::string_view packet) {
    if (::send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) >= 0) return {};
    return {Errc::unavailable, std::string("cannot ask the agent: ") + std::strerror(errno)};
}

Result<std::string> PacketConnection::receive_packet(Deadline deadline, const StopSignal* stop) {
    std::string packet(64 * 1024, '\0');
    for (;;) {
        if (auto ready = wait_readable(socket_.get(), deadline, stop); !ready) return std::move(ready).error();
        const ssize_t n = ::recv(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0 || static_cast<std::size_t>(n) > packet.size()) return {Errc::unavailable, "the agent went away"};
        packet.resize(static_cast<std::size_t>(n));
        return packet;
    }
}

PacketConnection::Moved PacketConnection::read(std::span<char> into) {
    if (!kept_.empty()) {
        const std::size_t n = std::min(kept_.size(), into.size());
        std::copy_n(kept_.begin(), n, into.begin());
        kept_.erase(0, n);
        return {Io::done, n};
    }
    std::array<char, packet_bytes + 1> packet;
    for (;;) {
        const ssize_t n = ::recv(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {Io::want_read, 0};
        if (n < 0) return failed(std::strerror(errno));
        if (n == 0) return {Io::truncated, 0};
        if (static_cast<std::size_t>(n) > packet.size()) return failed("a packet is too long");
        if (packet[0] == packet_end && n == 1) return {Io::closed, 0};
        if (packet[0] != packet_data) return failed("a packet is of no known kind");
        const std::string_view data(packet.data() + 1, static_cast<std::size_t>(n) - 1);
        if (data.empty()) continue;
        const std::size_t given = std::min(data.size(), into.size());
        std::copy_n(data.begin(), given, into.begin());
        kept_.assign(data.substr(given));
        return {Io::done, given};
    }
}

PacketConnection::Moved PacketConnection::write(std::span<const char> bytes) {
    char kind = packet_data;
    const std::size_t size = std::min(bytes.size(), packet_bytes);
    std::array<iovec, 2> parts{iovec{&kind, 1}, iovec{const_cast<char*>(bytes.data()), size}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    for (;;) {
        const ssize_t n = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) return {Io::done, size};
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return {Io::want_write, 0};
        return failed(std::strerror(errno));
    }
}

PacketConnection::Moved PacketConnection::close_write() {
    while (!close_sent_) {
        const ssize_t n = ::send(socket_.get(), &packet_end, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {Io::want_write, 0};
        if (n < 0) return failed(std::strerror(errno));
        close_sent_ = true;
    }
    return {Io::done, 0};
}

}  // namespace usher::clients
