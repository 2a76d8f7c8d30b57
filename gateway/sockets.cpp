#include "gateway/sockets.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace usher::gateway {

base::Result<int> open_listener(const ListenAddress& listen, const char* key, bool shared) {
    const auto failed = [&](int error) {
        std::string message =
            std::string("'") + key + "' " + listen.to_string() + ": " + std::generic_category().message(error);
        if (error == EADDRINUSE) message += "; another program listens there: stop it, or choose another port";
        if (error == EACCES) message += "; ports below 1024 need CAP_NET_BIND_SERVICE";
        if (error == EADDRNOTAVAIL) message += "; this machine has no such address";
        return base::Error{base::Errc::failed_precondition, std::move(message)};
    };
    sockaddr_storage storage{};
    socklen_t length;
    if (listen.address.is_v4()) {
        auto& a = reinterpret_cast<sockaddr_in&>(storage);
        a.sin_family = AF_INET;
        a.sin_port = htons(listen.port);
        std::memcpy(&a.sin_addr, listen.address.bytes.data() + 12, 4);
        length = sizeof a;
    } else {
        auto& a = reinterpret_cast<sockaddr_in6&>(storage);
        a.sin6_family = AF_INET6;
        a.sin6_port = htons(listen.port);
        std::memcpy(&a.sin6_addr, listen.address.bytes.data(), 16);
        length = sizeof a;
    }
    const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return failed(errno);
    const int on = 1;
    if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (shared && ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        ::bind(fd, reinterpret_cast<sockaddr*>(&storage), length) != 0 || ::listen(fd, 4096) != 0) {
        const int error = errno;
        ::close(fd);
        return failed(error);
    }
    return fd;
}

}  // namespace usher::gateway
