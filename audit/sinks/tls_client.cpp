#include "audit/sinks/tls_client.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "audit/sinks/resolve.hpp"
#include "base/net.hpp"

namespace usher::audit::sinks {

using base::Errc;
using base::Result;

namespace {

std::string errno_text(int number) { return std::strerror(number); }

/// The oldest entry of OpenSSL's queue, which is the cause; empties the queue.
std::string openssl_reason() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return "unknown error";
    const char* reason = ERR_reason_error_string(code);
    return reason != nullptr ? reason : "error " + std::to_string(code);
}

Result<base::UniqueFd> connect_to(const base::IpAddress& address, std::uint16_t port, Deadline deadline,
                                  const StopEvent& stop) {
    sockaddr_storage storage{};
    socklen_t size = 0;
    if (address.is_v4()) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        std::memcpy(&v4.sin_addr, address.bytes.data() + 12, 4);
        size = sizeof v4;
    } else {
        auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        std::memcpy(&v6.sin6_addr, address.bytes.data(), address.bytes.size());
        size = sizeof v6;
    }
    base::UniqueFd fd{::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) return {Errc::unavailable, errno_text(errno)};
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0) {
        if (errno != EINPROGRESS) return {Errc::unavailable, errno_text(errno)};
        if (auto ready = stop.wait_for(fd.get(), POLLOUT, deadline); !ready) return std::move(ready).error();
        int error = 0;
        socklen_t length = sizeof error;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
        if (error != 0) return {Errc::unavailable, errno_text(error)};
    }
    return fd;
}

}  // namespace

Result<TlsContext> make_client_context(const Settings& settings) {
    ERR_clear_error();
    TlsContext context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1)
        return {Errc::internal, "cannot set up TLS: " + openssl_reason()};
    if (SSL_CTX_load_verify_file(context.get(), settings.ca.c_str()) != 1)
        return {Errc::invalid_argument,
                "'ca': " + settings.ca + ": no certificates can be read from it: " + openssl_reason()};
    if (!settings.certificate.empty()) {
        if (SSL_CTX_use_certificate_chain_file(context.get(), settings.certificate.c_str()) != 1)
            return {Errc::invalid_argument, "'certificate': " + settings.certificate +
                                                ": no certificate can be read from it: " + openssl_reason()};
        if (SSL_CTX_use_PrivateKey_file(context.get(), settings.private_key.c_str(), SSL_FILETYPE_PEM) != 1)
            return {Errc::invalid_argument,
                    "'private_key': " + settings.private_key + ": is not the certificate's key: " + openssl_reason()};
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

Result<TlsClient> TlsClient::connect(const Settings& settings, Deadline deadline, const StopEvent& stop) {
    auto addresses = resolve(settings.host, deadline, stop);
    if (!addresses) return std::move(addresses).error();
    base::Error error{Errc::unavailable, "it has no address"};
    for (std::size_t i = 0; i < addresses->size(); ++i) {
        // An address that does not answer must not use up the time of those behind it.
        const auto now = std::chrono::steady_clock::now();
        const auto until = now + (deadline - now) / static_cast<long>(addresses->size() - i);
        auto fd = connect_to((*addresses)[i], settings.port, until, stop);
        if (!fd) {
            error = {fd.error().code, "cannot connect to " + settings.address() + ": " + fd.error().message};
            continue;
        }
        TlsClient client(std::move(*fd), stop);
        if (auto shaken = client.shake_hands(settings, deadline); !shaken) return std::move(shaken).error();
        return client;
    }
    return error;
}

Result<void> TlsClient::shake_hands(const Settings& settings, Deadline deadline) {
    auto context = make_client_context(settings);
    // The receiver is not the one to blame, but it will not be refused for ever either: files come back.
    if (!context) return {Errc::failed_precondition, context.error().message};
    ssl_.reset(SSL_new(context->get()));
    const std::string& name = settings.server_name.empty() ? settings.host : settings.server_name;
    const bool is_address = base::IpAddress::parse(name).has_value();
    bool set = ssl_ && SSL_set_fd(ssl_.get(), fd_.get()) == 1;
    if (set && is_address)
        set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), name.c_str()) == 1;
    else if (set)
        set = SSL_set_tlsext_host_name(ssl_.get(), name.c_str()) == 1 && SSL_set1_host(ssl_.get(), name.c_str()) == 1;
    if (!set) return {Errc::internal, "cannot set up TLS: " + openssl_reason()};
    SSL_set_hostflags(ssl_.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    for (;;) {
        ERR_clear_error();
        const int result = SSL_connect(ssl_.get());
        if (result == 1) return {};
        if (const long verified = SSL_get_verify_result(ssl_.get()); verified != X509_V_OK)
            return {Errc::failed_precondition, "the certificate of " + settings.address() + " for '" + name +
                                                   "' is not valid: " + X509_verify_cert_error_string(verified)};
        if (auto ready = wait(result, deadline, "TLS handshake"); !ready) return ready;
    }
}

Result<void> TlsClient::wait(int result, Deadline deadline, const char* what) {
    const int number = errno;
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ:
            return stop_->wait_for(fd_.get(), POLLIN, deadline);
        case SSL_ERROR_WANT_WRITE:
            return stop_->wait_for(fd_.get(), POLLOUT, deadline);
        case SSL_ERROR_SYSCALL:
            ERR_clear_error();
            return {Errc::unavailable, std::string(what) + ": " +
                                           (number != 0 ? errno_text(number) : "the receiver closed the connection")};
        case SSL_ERROR_ZERO_RETURN:
            return {Errc::unavailable, std::string(what) + ": the receiver closed the connection"};
        default:
            return {Errc::unavailable, std::string(what) + ": " + openssl_reason()};
    }
}

Result<void> TlsClient::write(std::string_view bytes, Deadline deadline) {
    while (!bytes.empty()) {
        ERR_clear_error();
        errno = 0;
        std::size_t written = 0;
        if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) == 1) {
            bytes.remove_prefix(written);
            continue;
        }
        if (auto ready = wait(0, deadline, "sending"); !ready) return ready;
    }
    return {};
}

Result<void> TlsClient::finish(Deadline deadline) {
    for (;;) {
        ERR_clear_error();
        errno = 0;
        const int result = SSL_shutdown(ssl_.get());
        if (result >= 0) break;
        if (auto ready = wait(result, deadline, "closing"); !ready) return ready;
    }
    if (::shutdown(fd_.get(), SHUT_WR) != 0) return {Errc::unavailable, "closing: " + errno_text(errno)};
    // What it still says (a ticket, a warning) is of no interest; its end is.
    std::array<char, 4096> ignored;
    for (;;) {
        ERR_clear_error();
        errno = 0;
        std::size_t read = 0;
        if (SSL_read_ex(ssl_.get(), ignored.data(), ignored.size(), &read) == 1) continue;
        const int number = errno;
        const int kind = SSL_get_error(ssl_.get(), 0);
        if (kind == SSL_ERROR_ZERO_RETURN) return all_acknowledged();
        // Some receivers close without a word. An end of the stream is not a reset: it comes from a program that has
        // read everything, since closing with something unread is a reset.
        const unsigned long code = ERR_peek_error();
        const bool plain_end = (kind == SSL_ERROR_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) ||
                               (kind == SSL_ERROR_SYSCALL && number == 0 && code == 0);
        if (plain_end) {
            ERR_clear_error();
            return all_acknowledged();
        }
        errno = number;
        if (auto ready = wait(0, deadline, "waiting for the receiver to confirm"); !ready) return ready;
    }
}

Result<void> TlsClient::all_acknowledged() const {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return {Errc::unavailable, "the connection broke: " + errno_text(error)};
    int unacknowledged = 0;
    if (::ioctl(fd_.get(), SIOCOUTQ, &unacknowledged) != 0)
        return {Errc::unavailable, "the connection cannot be asked: " + errno_text(errno)};
    // The end of our stream counts as one byte, and comes behind all others: the receiver need not have seen it.
    if (unacknowledged > 1) return {Errc::unavailable, "the receiver closed before it had everything"};
    return {};
}

}  // namespace usher::audit::sinks
