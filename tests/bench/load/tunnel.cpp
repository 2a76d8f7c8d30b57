#include "load/tunnel.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace bench {
namespace {

[[noreturn]] void fail(const std::string& doing) {
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    throw std::runtime_error(doing + ": " + (reason != nullptr ? reason : std::strerror(errno)));
}

}  // namespace

TlsClient::TlsClient(bool http2) : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    SSL_CTX* c = context_.get();
    if (c == nullptr || SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256") != 1 || SSL_CTX_set1_groups_list(c, "X25519") != 1)
        fail("TLS context");
    static constexpr unsigned char h2[] = "\x02h2";
    if (http2 && SSL_CTX_set_alpn_protos(c, h2, 3) != 0) fail("ALPN");
    // The certificate is of this very run; what is measured is the proxy.
    SSL_CTX_set_verify(c, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF);
}

Tunnel::Tunnel(const TlsClient& tls, const Route& route)
    : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), ssl_(SSL_new(tls.get()), SSL_free) {
    if (fd_ < 0 || !ssl_) fail("socket");
    try {
        const int on = 1;
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const timeval patience{30, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(route.proxy_port);
        if (inet_pton(AF_INET, route.proxy_host.c_str(), &address.sin_addr) != 1) fail("address of the proxy");
        if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect to the proxy");
        // Records gather in a buffer, so that one send() carries many of them.
        BIO* to_socket = BIO_new_socket(fd_, BIO_NOCLOSE);
        BIO* gather = BIO_new(BIO_f_buffer());
        if (to_socket == nullptr || gather == nullptr || BIO_set_write_buffer_size(gather, 320L * 1024) != 1)
            fail("buffer");
        BIO_up_ref(to_socket);
        SSL_set0_rbio(ssl_.get(), to_socket);
        SSL_set0_wbio(ssl_.get(), BIO_push(gather, to_socket));
        if (SSL_connect(ssl_.get()) != 1) fail("TLS handshake");
        BIO_flush(SSL_get_wbio(ssl_.get()));
        if (!route.authorization.empty()) {
            write("CONNECT " + route.target + " HTTP/1.1\r\nHost: " + route.target +
                  "\r\nProxy-Authorization: " + route.authorization + "\r\n\r\n");
            std::string head;
            std::array<char, 4096> bytes;
            while (head.find("\r\n\r\n") == std::string::npos && head.size() < 16384) {
                const int n = SSL_read(ssl_.get(), bytes.data(), bytes.size());
                if (n <= 0) fail("answer to CONNECT");
                head.append(bytes.data(), static_cast<std::size_t>(n));
            }
            if (head.rfind("HTTP/1.1 200", 0) != 0 || head.size() != head.find("\r\n\r\n") + 4)
                throw std::runtime_error("CONNECT was answered: " + head.substr(0, head.find('\r')));
        }
    } catch (...) {
        close(fd_);
        throw;
    }
}

Tunnel::~Tunnel() { close(fd_); }

void Tunnel::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto chunk = std::min<std::size_t>(bytes.size(), 256 * 1024);
        std::size_t written = 0;
        if (SSL_write_ex(ssl_.get(), bytes.data(), chunk, &written) != 1) fail("write");
        bytes.remove_prefix(written);
        if (BIO_flush(SSL_get_wbio(ssl_.get())) != 1) fail("write");
    }
}

void Tunnel::read_exactly(char* to, std::size_t size) {
    while (size > 0) {
        std::size_t n = 0;
        if (SSL_read_ex(ssl_.get(), to, size, &n) != 1) fail("read");
        to += n;
        size -= n;
    }
}

std::size_t Tunnel::read_some(char* to, std::size_t size, int timeout_ms) {
    if (SSL_pending(ssl_.get()) == 0) {
        pollfd one{fd_, POLLIN, 0};
        if (poll(&one, 1, timeout_ms) == 0) return 0;
    }
    std::size_t n = 0;
    if (SSL_read_ex(ssl_.get(), to, size, &n) != 1) fail("read");
    return n;
}

void Tunnel::discard_ciphertext(std::uint64_t bytes) {
    while (bytes > 0) {
        const auto n = recv(fd_, nullptr, std::min<std::uint64_t>(bytes, 4U << 20), MSG_TRUNC);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail(n == 0 ? "the proxy ended the download early" : "download");
        bytes -= static_cast<std::uint64_t>(n);
    }
}

void Tunnel::finish() {
    SSL_shutdown(ssl_.get());
    BIO_flush(SSL_get_wbio(ssl_.get()));
    shutdown(fd_, SHUT_WR);
    const timeval patience{5, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::array<char, 4096> rest;
    ssize_t n;
    while ((n = recv(fd_, rest.data(), rest.size(), 0)) > 0) {
    }
    if (n < 0 && errno != ECONNRESET) fail("the proxy did not end the tunnel");
}

}  // namespace bench
