#include "clients/usher/up/peer_owner.hpp"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.hpp"

namespace usher::clients::agent {

using base::Errc;
using base::Error;

namespace {

struct Question {
    nlmsghdr head{};
    inet_diag_req_v2 body{};
};

void put_address(const sockaddr_storage& address, __be16& port, __be32 (&out)[4]) {
    if (address.ss_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
        port = v6.sin6_port;
        std::memcpy(out, &v6.sin6_addr, sizeof v6.sin6_addr);
    } else {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        port = v4.sin_port;
        std::memcpy(out, &v4.sin_addr, sizeof v4.sin_addr);
    }
}

Error failed(const char* what) {
    return {Errc::unavailable,
            std::string("the kernel does not tell who made a connection: ") + what + ": " + std::strerror(errno)};
}

}  // namespace

base::Result<std::optional<uid_t>> peer_owner(int socket) {
    sockaddr_storage here{}, there{};
    socklen_t here_size = sizeof here, there_size = sizeof there;
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&here), &here_size) != 0) return failed("getsockname");
    // A peer that reset already has no address any more, and no owner.
    if (::getpeername(socket, reinterpret_cast<sockaddr*>(&there), &there_size) != 0) return std::optional<uid_t>{};

    Question question;
    question.head.nlmsg_len = sizeof question;
    question.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.head.nlmsg_flags = NLM_F_REQUEST;
    question.body.sdiag_family = static_cast<__u8>(here.ss_family);
    question.body.sdiag_protocol = IPPROTO_TCP;
    question.body.idiag_states = ~0u;
    question.body.id.idiag_cookie[0] = question.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    // The socket that is looked for is the other end: its source is our peer.
    put_address(there, question.body.id.idiag_sport, question.body.id.idiag_src);
    put_address(here, question.body.id.idiag_dport, question.body.id.idiag_dst);

    const base::UniqueFd link{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG)};
    if (!link) return failed("socket");
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (::sendto(link.get(), &question, sizeof question, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0)
        return failed("sendto");
    alignas(nlmsghdr) std::array<char, 4096> answer{};
    const ssize_t size = ::recv(link.get(), answer.data(), answer.size(), 0);  // the kernel has answered by now
    if (size < 0) return failed("recv");
    const auto length = static_cast<std::size_t>(size);
    nlmsghdr head{};
    if (length < sizeof head) return {Errc::unavailable, "the kernel's answer about a connection is cut"};
    std::memcpy(&head, answer.data(), sizeof head);
    if (head.nlmsg_type == NLMSG_ERROR && length >= sizeof head + sizeof(nlmsgerr)) {
        nlmsgerr error{};
        std::memcpy(&error, answer.data() + sizeof head, sizeof error);
        if (error.error == -ENOENT) return std::optional<uid_t>{};
        errno = -error.error;
        return failed("sock_diag");
    }
    inet_diag_msg found{};
    if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || length < sizeof head + sizeof found)
        return {Errc::unavailable, "the kernel's answer about a connection is not understood"};
    std::memcpy(&found, answer.data() + sizeof head, sizeof found);
    // A socket that its program has closed already is shown as root's, and has no inode.
    if (found.idiag_inode == 0) return std::optional<uid_t>{};
    return std::optional<uid_t>{found.idiag_uid};
}

}  // namespace usher::clients::agent
