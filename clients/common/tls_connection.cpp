#include "clients/common/tls_connection.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include "base/net.hpp"
#include "base/text.hpp"

namespace usher::clients {

using base::Errc;
using base::Error;
using base::Result;

namespace {

// Several records go out in one send and come in by one recv.
constexpr long buffer_bytes = 256 * 1024;

std::string errno_text(int number) { return std::strerror(number); }

/// The oldest entry of OpenSSL's queue, which is the cause; empties the queue.
std::string openssl_reason() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return "unknown error";
    if (const char* reason = ERR_reason_error_string(code)) return reason;
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    return text.data();
}

Result<void> poll_one(int fd, short events, Deadline deadline, const StopSignal* stop) {
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        if (left <= 0) return {Errc::deadline_exceeded, "no answer in time"};
        std::array<pollfd, 2> fds{pollfd{fd, events, 0}, pollfd{stop ? stop->fd() : -1, POLLIN, 0}};
        const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(std::min<long long>(left, 60'000)));
        if (ready < 0 && errno != EINTR) return {Errc::internal, "poll: " + errno_text(errno)};
        if (fds[1].revents != 0) return {Errc::unavailable, "stopped"};
        if (ready > 0 && fds[0].revents != 0) return {};
    }
}

Result<base::UniqueFd> connect_to(const addrinfo& address, Deadline deadline, const StopSignal* stop) {
    base::UniqueFd fd{
        ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol)};
    if (!fd) return {Errc::unavailable, errno_text(errno)};
    if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
        if (errno != EINPROGRESS) return {Errc::unavailable, errno_text(errno)};
        if (auto ready = poll_one(fd.get(), POLLOUT, deadline, stop); !ready) return std::move(ready).error();
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
        if (error != 0) return {Errc::unavailable, errno_text(error)};
    }
    const int on = 1;
    // Without this a keystroke waits for the acknowledgement of the one before. Where it fails, all still works.
    (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/// OpenSSL's question for a client certificate. An answer of 1 without one goes on without.
int show_device(SSL* ssl, void* argument) {
    const auto& identity = *static_cast<const DeviceIdentity*>(argument);
    const X509_NAME* issuer = X509_get_issuer_name(identity.certificate.get());
    const STACK_OF(X509_NAME)* asked = SSL_get0_peer_CA_list(ssl);
    for (int i = 0; i < sk_X509_NAME_num(asked); ++i) {
        if (X509_NAME_cmp(sk_X509_NAME_value(asked, i), issuer) != 0) continue;
        return SSL_use_certificate(ssl, identity.certificate.get()) == 1 &&
               SSL_use_PrivateKey(ssl, identity.key.get()) == 1;
    }
    return 1;
}

}  // namespace

void TlsTrust::present(DeviceIdentity identity) {
    // A connection that outlives this object keeps the context, and the context keeps what its callback reads.
    struct Held {
        static void free(void*, void* held, CRYPTO_EX_DATA*, int, long, void*) {
            delete static_cast<DeviceIdentity*>(held);
        }
    };
    static const int place = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &Held::free);
    auto held = std::make_unique<DeviceIdentity>(std::move(identity));
    if (place < 0 || SSL_CTX_set_ex_data(context_.get(), place, held.get()) != 1) throw std::bad_alloc();
    SSL_CTX_set_cert_cb(context_.get(), show_device, held.release());
}

Result<TlsTrust> TlsTrust::load(const std::string& ca_file) {
    TlsTrust trust;
    trust.ca_file_ = ca_file;
    trust.context_ = std::shared_ptr<SSL_CTX>(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    SSL_CTX* context = trust.context_.get();
    if (context == nullptr) return {Errc::internal, "cannot set up TLS: " + openssl_reason()};
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
        return {Errc::internal, "cannot set up TLS: " + openssl_reason()};
    if (ca_file.empty()) {
        if (SSL_CTX_set_default_verify_paths(context) != 1)
            return {Errc::unavailable, "cannot load the system's certificates: " + openssl_reason()};
    } else if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) {
        return {Errc::invalid_argument, "cannot read certificates from " + base::escape_for_terminal(ca_file) + ": " +
                                            openssl_reason() + "; --ca names a PEM file of the gateway's authority"};
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, static_cast<std::size_t>(buffer_bytes));
    return trust;
}

TlsConnection::TlsConnection(TlsConnection&&) noexcept = default;
TlsConnection& TlsConnection::operator=(TlsConnection&&) noexcept = default;
TlsConnection::~TlsConnection() = default;

Result<TlsConnection> TlsConnection::connect(const TlsTrust& trust, const Endpoint& peer, Deadline deadline,
                                             const StopSignal* stop) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
    if (base::IpAddress::parse(peer.host)) hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
    addrinfo* found = nullptr;
    const int code = ::getaddrinfo(peer.host.c_str(), std::to_string(peer.port).c_str(), &hints, &found);
    if (code != 0)
        return {Errc::unavailable, "cannot find the address of " + peer.host + ": " +
                                       (code == EAI_SYSTEM ? errno_text(errno) : std::string(::gai_strerror(code)))};
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses{found, &::freeaddrinfo};

    std::size_t left = 0;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) ++left;
    std::string last_error = "it has no address";
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next, --left) {
        // A dead address must not use up the time of those behind it.
        const auto now = std::chrono::steady_clock::now();
        const auto share = now + (deadline - now) / static_cast<long>(left);
        auto socket = connect_to(*at, share, stop);
        if (!socket) {
            last_error = socket.error().message;
            if (stop != nullptr && stop->is_set()) break;
            continue;
        }
        TlsConnection connection;
        connection.socket_ = std::move(*socket);
        if (auto shaken = connection.handshake(trust, peer, deadline, stop); !shaken) return std::move(shaken).error();
        return connection;
    }
    return {Errc::unavailable, "cannot connect to " + peer.to_string() + ": " + last_error};
}

Result<void> TlsConnection::handshake(const TlsTrust& trust, const Endpoint& peer, Deadline deadline,
                                      const StopSignal* stop) {
    ERR_clear_error();
    ssl_.reset(SSL_new(trust.context()));
    BIO* reader = BIO_new_socket(socket_.get(), BIO_NOCLOSE);
    BIO* sender = BIO_new_socket(socket_.get(), BIO_NOCLOSE);
    BIO* buffer = BIO_new(BIO_f_buffer());
    if (!ssl_ || reader == nullptr || sender == nullptr || buffer == nullptr ||
        BIO_set_write_buffer_size(buffer, buffer_bytes) != 1) {
        BIO_free(reader);
        BIO_free(sender);
        BIO_free(buffer);
        return {Errc::resource_exhausted, "cannot set up TLS: " + openssl_reason()};
    }
    SSL_set_bio(ssl_.get(), reader, BIO_push(buffer, sender));

    const bool is_address = base::IpAddress::parse(peer.host).has_value();
    X509_VERIFY_PARAM* verify = SSL_get0_param(ssl_.get());
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int named = is_address ? X509_VERIFY_PARAM_set1_ip_asc(verify, peer.host.c_str())
                                 : X509_VERIFY_PARAM_set1_host(verify, peer.host.data(), peer.host.size());
    static constexpr std::array<unsigned char, 9> alpn{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    if (named != 1 || SSL_set_alpn_protos(ssl_.get(), alpn.data(), alpn.size()) != 0 ||
        (!is_address && SSL_set_tlsext_host_name(ssl_.get(), peer.host.c_str()) != 1))
        return {Errc::internal, "cannot set up TLS: " + openssl_reason()};

    for (;;) {
        ERR_clear_error();
        const int result = SSL_connect(ssl_.get());
        if (result == 1) {
            while (true) {
                const auto flushed = flush();
                if (flushed.io == Io::done) return {};
                if (flushed.io == Io::failed) break;
                if (auto ready = wait(flushed.io, deadline, stop); !ready)
                    return {ready.error().code, "TLS with " + peer.to_string() + ": " + ready.error().message};
            }
            return {Errc::unavailable, "TLS with " + peer.to_string() + ": " + error_};
        }
        const long verdict = SSL_get_verify_result(ssl_.get());
        if (verdict != X509_V_OK) {
            std::string hint;
            if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
                hint = "; use a name that the certificate was made for";
            else
                hint = trust.ca_file().empty()
                           ? "; name the gateway's authority with --ca FILE"
                           : "; is " + base::escape_for_terminal(trust.ca_file()) + " the authority of this gateway?";
            return {Errc::unauthenticated, "the certificate of " + peer.to_string() + " is not to be trusted: " +
                                               X509_verify_cert_error_string(verdict) + hint};
        }
        const auto moved = judge(result, 0);
        if (moved.io != Io::want_read && moved.io != Io::want_write) {
            const std::string why = moved.io == Io::failed ? error_ : "the peer closed the connection in the handshake";
            return {Errc::unavailable, "TLS with " + peer.to_string() + ": " + why};
        }
        if (auto ready = wait(moved.io, deadline, stop); !ready)
            return {ready.error().code, "TLS with " + peer.to_string() + ": " + ready.error().message};
    }
}

TlsConnection::Moved TlsConnection::judge(int result, std::size_t bytes) {
    if (result > 0) return {Io::done, bytes};
    const int saved_errno = errno;
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ:
            return {Io::want_read};
        case SSL_ERROR_WANT_WRITE:
            return {Io::want_write};
        case SSL_ERROR_ZERO_RETURN:
            return {Io::closed};
        case SSL_ERROR_SYSCALL:
            ERR_clear_error();
            if (saved_errno == 0) return {Io::truncated};
            error_ = errno_text(saved_errno);
            return {Io::failed};
        default:
            if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
                ERR_clear_error();
                return {Io::truncated};
            }
            error_ = openssl_reason();
            return {Io::failed};
    }
}

TlsConnection::Moved TlsConnection::read(std::span<char> into) {
    ERR_clear_error();
    errno = 0;
    std::size_t bytes = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &bytes);
    return judge(result, bytes);
}

TlsConnection::Moved TlsConnection::write(std::span<const char> bytes) {
    ERR_clear_error();
    errno = 0;
    std::size_t written = 0;
    const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
    return judge(result, written);
}

TlsConnection::Moved TlsConnection::flush() {
    ERR_clear_error();
    errno = 0;
    BIO* out = SSL_get_wbio(ssl_.get());
    if (BIO_flush(out) > 0) return {Io::done};
    if (BIO_should_retry(out)) return {Io::want_write};
    error_ = errno != 0 ? errno_text(errno) : openssl_reason();
    return {Io::failed};
}

TlsConnection::Moved TlsConnection::close_write() {
    if (!close_sent_) {
        ERR_clear_error();
        errno = 0;
        const int result = SSL_shutdown(ssl_.get());
        if (result < 0) {
            const auto moved = judge(result, 0);
            // The alert is in the buffer even when the peer's answer to it is still to be waited for.
            if ((SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) == 0) return moved;
        }
        close_sent_ = true;
    }
    return flush();
}

bool TlsConnection::has_buffered_input() const noexcept { return SSL_has_pending(ssl_.get()) == 1; }

Result<void> TlsConnection::wait(Io want, Deadline deadline, const StopSignal* stop) const {
    return poll_one(socket_.get(), want == Io::want_read ? POLLIN : POLLOUT, deadline, stop);
}

Result<void> TlsConnection::write_all(std::string_view bytes, Deadline deadline, const StopSignal* stop) {
    while (true) {
        const Moved moved = bytes.empty() ? flush() : write(bytes);
        switch (moved.io) {
            case Io::done:
                if (bytes.empty()) return {};
                bytes.remove_prefix(moved.bytes);
                break;
            case Io::want_read:
            case Io::want_write:
                if (auto ready = wait(moved.io, deadline, stop); !ready) return ready;
                break;
            case Io::closed:
            case Io::truncated:
                return {Errc::unavailable, "the gateway closed the connection"};
            case Io::failed:
                return {Errc::unavailable, error_};
        }
    }
}

Result<std::size_t> TlsConnection::read_some(std::span<char> into, Deadline deadline, const StopSignal* stop) {
    while (true) {
        const Moved moved = read(into);
        switch (moved.io) {
            case Io::done:
                return moved.bytes;
            case Io::closed:
                return std::size_t{0};
            case Io::want_read:
            case Io::want_write:
                if (auto ready = wait(moved.io, deadline, stop); !ready) return std::move(ready).error();
                break;
            case Io::truncated:
                return {Errc::unavailable, "the connection broke off"};
            case Io::failed:
                return {Errc::unavailable, error_};
        }
    }
}

}  // namespace usher::clients
