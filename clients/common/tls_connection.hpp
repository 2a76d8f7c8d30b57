#pragma once
#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "clients/common/device_key.hpp"
#include "clients/common/endpoint.hpp"
#include "clients/common/stop_signal.hpp"

namespace usher::clients {

using Deadline = std::chrono::steady_clock::time_point;

/// Whom to believe: TLS 1.2 or later, the chain verified against one file of certificates or the system's store, the
/// name verified on every connection. May be shared by threads and by many connections.
class TlsTrust {
public:
    /// `ca_file` empty: the system's store. Fails when the file cannot be read or holds no certificate.
    static base::Result<TlsTrust> load(const std::string& ca_file);
    /// From now on connections show the device's certificate, to a gateway that asks for one of its authority by name
    /// and to nobody else.
    void present(DeviceIdentity identity);
    SSL_CTX* context() const noexcept { return context_.get(); }
    const std::string& ca_file() const noexcept { return ca_file_; }

private:
    TlsTrust() = default;
    std::shared_ptr<SSL_CTX> context_;
    std::string ca_file_;
};

/// A verified TLS connection to the gateway over a non-blocking socket. Used by one thread.
class TlsConnection {
public:
    enum class Io {
        done,        ///< `bytes` were moved
        want_read,   ///< wait until the socket is readable, then try again
        want_write,  ///< wait until it is writable
        closed,      ///< the peer's close_notify: nothing more will come
        truncated,   ///< the socket ended without close_notify: what came may not be all
        failed,      ///< the connection is broken; error_text() says how
    };
    struct Moved {
        Io io;
        std::size_t bytes = 0;
    };

    /// Tries each address of the host in turn until one takes the connection, then shakes hands. All of it ends at
    /// `deadline`, or at once when `stop` (may be null) is set.
    static base::Result<TlsConnection> connect(const TlsTrust& trust, const Endpoint& peer, Deadline deadline,
                                               const StopSignal* stop = nullptr);
    TlsConnection(TlsConnection&&) noexcept;
    TlsConnection& operator=(TlsConnection&&) noexcept;
    ~TlsConnection();

    int fd() const noexcept { return socket_.get(); }

    // The four below never block.
    Moved read(std::span<char> into);
    /// Takes bytes over into the connection's buffer; flush() sends them.
    Moved write(std::span<const char> bytes);
    Moved flush();
    /// Says close_notify; reading goes on. Call again while it wants to wait. After it, no write.
    Moved close_write();
    /// True when read() would give bytes that have already left the socket, so that poll() would not tell of them.
    bool has_buffered_input() const noexcept;

    // Blocking, up to the deadline or the stop signal.
    base::Result<void> write_all(std::string_view bytes, Deadline deadline, const StopSignal* stop = nullptr);
    /// 0 bytes: the peer said close_notify.
    base::Result<std::size_t> read_some(std::span<char> into, Deadline deadline, const StopSignal* stop = nullptr);

    const std::string& error_text() const noexcept { return error_; }

private:
    TlsConnection() = default;
    Moved judge(int result, std::size_t bytes);
    base::Result<void> handshake(const TlsTrust& trust, const Endpoint& peer, Deadline deadline,
                                 const StopSignal* stop);
    base::Result<void> wait(Io want, Deadline deadline, const StopSignal* stop) const;

    base::UniqueFd socket_;
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, &SSL_free};
    bool close_sent_ = false;
    std::string error_;
};

}  // namespace usher::clients
