#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace bench {

/// Where tunnels go. Without `authorization` there is no CONNECT: the proxy relays to one fixed app.
struct Route {
    std::string proxy_host = "127.0.0.1";
    std::uint16_t proxy_port = 0;
    std::string target;         // HOST:PORT of the CONNECT
    std::string authorization;  // the value of Proxy-Authorization
};

/// TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, no resumption: the same for each proxy. It must outlive its tunnels.
class TlsClient {
public:
    /// `http2`: by ALPN; else none is offered.
    explicit TlsClient(bool http2 = false);
    SSL_CTX* get() const { return context_.get(); }

private:
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
};

/// One tunnel over blocking sockets, of one thread. All failures are std::runtime_error with what was being done.
class Tunnel {
public:
    /// Connects, shakes hands and, when the route says so, sends CONNECT and reads the 200.
    Tunnel(const TlsClient& tls, const Route& route);
    ~Tunnel();
    Tunnel(const Tunnel&) = delete;
    Tunnel& operator=(const Tunnel&) = delete;

    /// All of `bytes` are with the kernel when it returns.
    void write(std::string_view bytes);
    void read_exactly(char* to, std::size_t size);
    /// At least one byte, as many as there are; 0 when none came in time.
    std::size_t read_some(char* to, std::size_t size, int timeout_ms);
    /// Takes `bytes` of what the proxy sends, still encrypted, and drops them in the kernel: a client that costs
    /// next to nothing. Nothing can be read after it.
    void discard_ciphertext(std::uint64_t bytes);
    /// close_notify, end of the sending direction, then reads until the proxy ends too (5 s at most).
    void finish();

private:
    int fd_ = -1;
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
};

}  // namespace bench
