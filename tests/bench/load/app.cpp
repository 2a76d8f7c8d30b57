#include "load/app.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>

#include "load/pattern.hpp"

namespace bench {
namespace {

enum class Kind { source, sink, echo };

/// One accepted connection. Echo holds at most one buffer of what it could not send back yet.
struct Connection {
    Kind kind;
    int fd;
    unsigned head_read = 0;    // bytes of the count that have come
    std::uint64_t left = 0;    // bytes to send (source) or to read (sink)
    std::uint64_t offset = 0;  // of the next byte in the pattern
    std::string pending;       // echo only
};

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

class App {
public:
    App() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_ < 0) fail("epoll_create1");
    }

    std::uint16_t listen_for(Kind kind) {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(fd, 4096) != 0 ||
            getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0)
            fail("listen");
        listeners_[fd] = kind;
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
        return ntohs(address.sin_port);
    }

    void run() {
        watch(STDIN_FILENO, EPOLLIN | EPOLLHUP, EPOLL_CTL_ADD);
        std::array<epoll_event, 256> events;
        for (;;) {
            const int count = epoll_wait(epoll_, events.data(), events.size(), -1);
            if (count < 0 && errno != EINTR) fail("epoll_wait");
            for (int i = 0; i < count; ++i) {
                const int fd = events[static_cast<std::size_t>(i)].data.fd;
                if (fd == STDIN_FILENO) return;
                if (const auto listener = listeners_.find(fd); listener != listeners_.end()) {
                    accept_all(fd, listener->second);
                } else if (const auto found = connections_.find(fd); found != connections_.end()) {
                    if (!step(*found->second)) {
                        close(fd);
                        connections_.erase(found);
                    }
                }
            }
        }
    }

private:
    void watch(int fd, std::uint32_t events, int operation) {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        if (epoll_ctl(epoll_, operation, fd, &event) != 0) fail("epoll_ctl");
    }

    void accept_all(int listener, Kind kind) {
        for (;;) {
            const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) {
                if (would_block() || errno == ECONNABORTED || errno == EINTR) return;
                fail("accept");
            }
            const int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            connections_[fd] = std::make_unique<Connection>(Connection{kind, fd, 0, 0, 0, {}});
            watch(fd, EPOLLIN, EPOLL_CTL_ADD);
        }
    }

    /// Does what can be done without waiting; false when the connection is over.
    bool step(Connection& c) {
        if (c.kind == Kind::echo) return step_echo(c);
        while (c.head_read < 8) {
            std::array<unsigned char, 8> head;
            const auto n = recv(c.fd, head.data(), 8 - c.head_read, 0);
            if (n < 0 && would_block()) return true;
            if (n <= 0) return false;
            for (ssize_t i = 0; i < n; ++i) c.left = c.left << 8 | head[static_cast<std::size_t>(i)];
            c.head_read += static_cast<unsigned>(n);
            if (c.head_read == 8 && c.kind == Kind::source) watch(c.fd, EPOLLOUT, EPOLL_CTL_MOD);
        }
        return c.kind == Kind::source ? step_source(c) : step_sink(c);
    }

    bool step_source(Connection& c) {
        // A few buffers a turn: the streams take turns.
        for (int i = 0; i < 4 && c.left > 0; ++i) {
            const auto bytes = pattern_from(c.offset);
            const auto n = send(c.fd, bytes.data(), std::min<std::uint64_t>(bytes.size(), c.left), MSG_NOSIGNAL);
            if (n < 0 && would_block()) return true;
            if (n < 0) return false;
            c.offset += static_cast<std::uint64_t>(n);
            c.left -= static_cast<std::uint64_t>(n);
        }
        if (c.left == 0) {
            shutdown(c.fd, SHUT_WR);
            watch(c.fd, EPOLLIN, EPOLL_CTL_MOD);
            c.kind = Kind::echo;  // only the end of the other side is left to wait for
        }
        return true;
    }

    static bool step_sink(Connection& c) {
        for (int i = 0; i < 4; ++i) {
            if (c.left == 0) {
                char byte;
                const auto n = recv(c.fd, &byte, 1, 0);
                return n < 0 && would_block();
            }
            // MSG_TRUNC: the kernel counts and drops the bytes, without a copy.
            const auto n = recv(c.fd, nullptr, std::min<std::uint64_t>(c.left, 4U << 20), MSG_TRUNC);
            if (n < 0 && would_block()) return true;
            if (n <= 0) return false;
            c.left -= static_cast<std::uint64_t>(n);
            if (c.left == 0 && send(c.fd, "k", 1, MSG_NOSIGNAL) != 1) return false;
        }
        return true;
    }

    bool step_echo(Connection& c) {
        if (!c.pending.empty()) {
            const auto n = send(c.fd, c.pending.data(), c.pending.size(), MSG_NOSIGNAL);
            if (n < 0) return would_block();
            c.pending.erase(0, static_cast<std::size_t>(n));
            if (!c.pending.empty()) return true;
            watch(c.fd, EPOLLIN, EPOLL_CTL_MOD);
        }
        std::array<char, 65536> bytes;
        const auto n = recv(c.fd, bytes.data(), bytes.size(), 0);
        if (n < 0) return would_block();
        if (n == 0) return false;
        const auto sent = send(c.fd, bytes.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL);
        if (sent < 0 && !would_block()) return false;
        const auto done = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
        if (done < static_cast<std::size_t>(n)) {
            c.pending.assign(bytes.data() + done, static_cast<std::size_t>(n) - done);
            watch(c.fd, EPOLLOUT, EPOLL_CTL_MOD);
        }
        return true;
    }

    int epoll_;
    std::unordered_map<int, Kind> listeners_;
    std::unordered_map<int, std::unique_ptr<Connection>> connections_;
};

}  // namespace

int run_app() {
    App app;
    const unsigned source = app.listen_for(Kind::source);
    const unsigned sink = app.listen_for(Kind::sink);
    const unsigned echo = app.listen_for(Kind::echo);
    std::printf("{\"source\": %u, \"sink\": %u, \"echo\": %u}\n", source, sink, echo);
    std::fflush(stdout);
    app.run();
    return 0;
}

}  // namespace bench
