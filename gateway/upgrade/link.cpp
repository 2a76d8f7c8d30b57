#include "gateway/upgrade/link.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.hpp"

namespace usher::gateway::upgrade {
namespace {

using base::Errc;
using base::Error;
using base::Result;

constexpr std::size_t queue_bytes_max = std::size_t{64} << 20;
constexpr std::size_t descriptors_max = 253;  // SCM_MAX_FD of Linux
/// What the kernel is asked to hold for each direction. One message must fit.
constexpr int socket_bytes = 4 << 20;

std::string why(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

/// What it means that a packet could not be sent or received.
Error lost() {
    const bool gone = errno == ECONNRESET || errno == EPIPE;
    return {Errc::unavailable, gone ? "the other process has ended" : why("the other process")};
}

Result<void> send_packet(int fd, const std::string& packet, std::span<const int> descriptors) {
    iovec part{const_cast<char*>(packet.data()), packet.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * descriptors_max)> control{};
    if (!descriptors.empty()) {
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
    }
    for (;;) {
        if (::sendmsg(fd, &header, MSG_NOSIGNAL) >= 0) return {};
        if (errno != EINTR) return lost();
    }
}

std::vector<base::UniqueFd> take_descriptors(msghdr& header) {
    std::vector<base::UniqueFd> taken;
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            taken.emplace_back(fd);
        }
    }
    return taken;
}

Result<Link::Received> receive_packet(int fd) {
    // The length first: a packet is taken as a whole or loses its end.
    ssize_t length;
    do {
        length = ::recv(fd, nullptr, 0, MSG_PEEK | MSG_TRUNC);
    } while (length < 0 && errno == EINTR);
    if (length < 0) return lost();
    if (length == 0) return {Errc::unavailable, "the other process has ended"};
    std::string packet(static_cast<std::size_t>(length), '\0');
    iovec part{packet.data(), packet.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * descriptors_max)> control{};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    ssize_t got;
    do {
        got = ::recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return lost();
    Link::Received received;
    received.descriptors = take_descriptors(header);
    if (got != length || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        !received.message.ParseFromString(packet))
        return {Errc::data_loss, "the other process said something that is no message"};
    return received;
}

}  // namespace

Result<std::pair<base::UniqueFd, base::UniqueFd>> Link::make_pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return {Errc::resource_exhausted, why("a pair of sockets")};
    return std::pair{base::UniqueFd{ends[0]}, base::UniqueFd{ends[1]}};
}

Result<std::unique_ptr<Link>> Link::adopt(base::UniqueFd socket) {
    int type = 0;
    socklen_t length = sizeof type;
    sockaddr_storage peer{};
    socklen_t peer_length = sizeof peer;
    const bool good = ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET &&
                      ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &peer_length) == 0 &&
                      peer.ss_family == AF_UNIX;
    if (!good)
        return {Errc::invalid_argument,
                "descriptor " + std::to_string(socket.get()) + " does not lead to another usherd"};
    (void)::fcntl(socket.get(), F_SETFD, FD_CLOEXEC);  // it was inherited without
    // As much as the system allows; one record fits in what there is by default.
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &socket_bytes, sizeof socket_bytes);
    return std::unique_ptr<Link>(new Link(std::move(socket)));
}

Link::~Link() {
    close();
    if (reader_.joinable()) reader_.join();
    if (writer_.joinable()) writer_.join();
}

Result<void> Link::send(const Message& message, std::span<const int> descriptors) {
    if (descriptors.size() > descriptors_max)
        return {Errc::invalid_argument,
                "at most " + std::to_string(descriptors_max) + " descriptors can be handed over"};
    return send_packet(socket_.get(), message.SerializeAsString(), descriptors);
}

Result<Link::Received> Link::receive(base::Microseconds limit) {
    pollfd wanted{socket_.get(), POLLIN, 0};
    const auto until = std::chrono::steady_clock::now() + limit;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready > 0) return receive_packet(socket_.get());
        if (ready == 0) return {Errc::deadline_exceeded, "the other process does not answer"};
        if (errno != EINTR) return lost();
    }
}

void Link::start(std::function<void(Message)> on_message, std::function<void()> on_end) {
    reader_ = std::thread([this, on_message = std::move(on_message), on_end = std::move(on_end)] {
        pthread_setname_np(pthread_self(), "upgrade-read");
        read_loop(on_message);
        close();
        on_end();
    });
    writer_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "upgrade-write");
        write_loop();
    });
}

void Link::read_loop(const std::function<void(Message)>& on_message) {
    for (;;) {
        auto received = receive_packet(socket_.get());
        if (!received) {
            if (received.error().code == Errc::data_loss)
                base::log_error("the link of an upgrade has failed", {{"error", received.error().message}});
            return;
        }
        on_message(std::move(received->message));
    }
}

void Link::write_loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return closed_ || !queue_.empty(); });
        if (closed_) return;
        const std::string packet = std::move(queue_.front());
        queue_.pop_front();
        sending_ = true;
        lock.unlock();
        const auto sent = send_packet(socket_.get(), packet, {});
        lock.lock();
        sending_ = false;
        queued_bytes_ -= packet.size();
        changed_.notify_all();
        if (sent) continue;
        closed_ = true;
        ::shutdown(socket_.get(), SHUT_RDWR);
        return;
    }
}

bool Link::post(const Message& message) {
    std::string packet = message.SerializeAsString();
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    if (queued_bytes_ + packet.size() > queue_bytes_max) {
        closed_ = true;
        ::shutdown(socket_.get(), SHUT_RDWR);
        changed_.notify_all();
        return false;
    }
    queued_bytes_ += packet.size();
    queue_.push_back(std::move(packet));
    changed_.notify_all();
    return true;
}

void Link::close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    ::shutdown(socket_.get(), SHUT_RDWR);
    changed_.notify_all();
}

void Link::flush(base::Microseconds limit) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limit, [&] { return closed_ || (queue_.empty() && !sending_); });
}

}  // namespace usher::gateway::upgrade
