#include "audit/sinks/resolve.hpp"

#include <ares.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <memory>

namespace usher::audit::sinks {

using base::Errc;
using base::Result;

namespace {

constexpr std::size_t addresses_max = 16;
/// c-ares has timers of its own; it is asked this often whether one is over.
constexpr std::chrono::milliseconds tick{100};

struct Answer {
    bool come = false;
    int status = ARES_SUCCESS;
    std::vector<base::IpAddress> addresses;
};

void on_answer(void* argument, int status, int, ares_addrinfo* info) {
    auto& answer = *static_cast<Answer*>(argument);
    answer.come = true;
    answer.status = status;
    const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(info, ares_freeaddrinfo);
    if (info == nullptr) return;
    for (const auto* node = info->nodes; node != nullptr && answer.addresses.size() < addresses_max;
         node = node->ai_next) {
        if (node->ai_family == AF_INET) {
            sockaddr_in v4{};
            std::memcpy(&v4, node->ai_addr, sizeof v4);
            answer.addresses.push_back(base::IpAddress::v4(ntohl(v4.sin_addr.s_addr)));
        } else if (node->ai_family == AF_INET6) {
            sockaddr_in6 v6{};
            std::memcpy(&v6, node->ai_addr, sizeof v6);
            base::IpAddress address;
            std::memcpy(address.bytes.data(), &v6.sin6_addr, address.bytes.size());
            answer.addresses.push_back(address);
        }
    }
}

/// Waits for a socket of the channel for a tick at most, and lets c-ares work. False once stopped.
bool step(ares_channel channel, const StopEvent& stop) {
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
    const auto wanted = static_cast<unsigned>(ares_getsock(channel, sockets.data(), ARES_GETSOCK_MAXNUM));
    std::vector<pollfd> fds{{stop.fd(), POLLIN, 0}};
    for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
        short events = 0;
        if (ARES_GETSOCK_READABLE(wanted, i)) events |= POLLIN;
        if (ARES_GETSOCK_WRITABLE(wanted, i)) events |= POLLOUT;
        if (events != 0) fds.push_back({sockets[i], events, 0});
    }
    (void)::poll(fds.data(), fds.size(), static_cast<int>(tick.count()));
    if (fds[0].revents != 0) return false;
    // Without a ready socket only the timers are looked at.
    ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    for (std::size_t i = 1; i < fds.size(); ++i) {
        const bool readable = (fds[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
        const bool writable = (fds[i].revents & POLLOUT) != 0;
        if (readable || writable)
            ares_process_fd(channel, readable ? fds[i].fd : ARES_SOCKET_BAD, writable ? fds[i].fd : ARES_SOCKET_BAD);
    }
    return true;
}

}  // namespace

Result<std::vector<base::IpAddress>> resolve(const std::string& host, Deadline deadline, const StopEvent& stop) {
    if (const auto address = base::IpAddress::parse(host)) return std::vector<base::IpAddress>{*address};
    Answer answer;  // outlives the channel, whose end answers too
    ares_channel made = nullptr;
    if (const int status = ares_init(&made); status != ARES_SUCCESS)
        return {Errc::unavailable, std::string("names cannot be resolved: ") + ares_strerror(status)};
    const std::unique_ptr<ares_channeldata, decltype(&ares_destroy)> channel(made, ares_destroy);
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(channel.get(), host.c_str(), nullptr, &hints, on_answer, &answer);
    while (!answer.come) {
        if (std::chrono::steady_clock::now() >= deadline)
            return {Errc::deadline_exceeded, "no name server answered in time for " + host};
        if (!step(channel.get(), stop)) return {Errc::unavailable, "the gateway is stopping"};
    }
    if (answer.status != ARES_SUCCESS)
        return {Errc::unavailable, "cannot find the address of " + host + ": " + ares_strerror(answer.status)};
    if (answer.addresses.empty()) return {Errc::unavailable, "cannot find the address of " + host};
    return std::move(answer.addresses);
}

}  // namespace usher::audit::sinks
