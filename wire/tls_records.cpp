#include "wire/tls_records.hpp"

#include <linux/sockios.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace usher::wire {

/// The BIO under the SSL object: reads come from the stream's receive block, which one recv() fills with as much as
/// there is; writes gather in its send block until try_flush(). OpenSSL sees neither the socket nor a system call a
/// record.
struct TlsBio {
    static int read(BIO* bio, char* data, int length) {
        auto& s = *static_cast<TlsRecords*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        if (length <= 0) return 0;
        if (s.in_begin_ == s.in_end_) {
            if (s.peer_fin_) return 0;
            if (!s.may_receive_ || !fill(s)) {
                if (s.peer_fin_) return 0;
                if (s.socket_error_ == 0) BIO_set_retry_read(bio);
                return -1;
            }
        }
        const std::size_t n = std::min(static_cast<std::size_t>(length), s.in_end_ - s.in_begin_);
        std::memcpy(data, s.in_.data() + s.in_begin_, n);
        s.in_begin_ += n;
        if (s.in_begin_ == s.in_end_) s.in_.reset();
        return static_cast<int>(n);
    }

    static bool fill(TlsRecords& s) {
        if (!s.in_) s.in_ = s.pool_.take(s.receive_size_);
        s.in_begin_ = s.in_end_ = 0;
        ssize_t n;
        do {
            n = ::recv(s.fd_, s.in_.data(), s.in_.capacity(), MSG_DONTWAIT);
        } while (n < 0 && errno == EINTR);
        if (n > 0) {
            s.in_end_ = static_cast<std::size_t>(n);
            return true;
        }
        if (n == 0)
            s.peer_fin_ = true;
        else if (errno != EAGAIN && errno != EWOULDBLOCK)
            s.socket_error_ = errno;
        s.in_.reset();
        return false;
    }

    static int write(BIO* bio, const char* data, int length) {
        auto& s = *static_cast<TlsRecords*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        if (length <= 0) return 0;
        if (!s.out_) {
            s.out_ = s.pool_.take();
            s.out_begin_ = s.out_end_ = 0;
        }
        const std::size_t room = s.out_.capacity() - s.out_end_;
        if (room == 0) {
            BIO_set_retry_write(bio);
            return -1;
        }
        const std::size_t n = std::min(room, static_cast<std::size_t>(length));
        std::memcpy(s.out_.data() + s.out_end_, data, n);
        s.out_end_ += n;
        return static_cast<int>(n);
    }

    static long control(BIO* bio, int command, long, void*) {
        auto& s = *static_cast<TlsRecords*>(BIO_get_data(bio));
        if (command == BIO_CTRL_FLUSH) return 1;
        if (command == BIO_CTRL_EOF) return s.peer_fin_ && s.in_begin_ == s.in_end_;
        return 0;
    }

    static BIO_METHOD* method() {
        static BIO_METHOD* const made = [] {
            BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "usher relay");
            if (m == nullptr || BIO_meth_set_read(m, read) != 1 || BIO_meth_set_write(m, write) != 1 ||
                BIO_meth_set_ctrl(m, control) != 1)
                throw std::bad_alloc();
            return m;
        }();
        return made;
    }
};

TlsRecords::TlsRecords(int fd, SSL_CTX* context, BufferPool& pool) : fd_(fd), pool_(pool), ssl_(SSL_new(context)) {
    BIO* bio = ssl_ != nullptr ? BIO_new(TlsBio::method()) : nullptr;
    if (bio == nullptr) {
        SSL_free(ssl_);
        throw std::bad_alloc();
    }
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_, bio, bio);
    SSL_set_accept_state(ssl_);
}

TlsRecords::TlsRecords(int fd, SSL_CTX* context, BufferPool& pool, const std::string& host)
    : TlsRecords(fd, context, pool) {
    SSL_set_connect_state(ssl_);
    SSL_clear_mode(ssl_, SSL_MODE_ENABLE_PARTIAL_WRITE);  // encrypt() is all or nothing
    SSL_set_read_ahead(ssl_, 0);                          // the BIO reads ahead
    SSL_set_verify(ssl_, SSL_VERIFY_PEER, nullptr);
    static constexpr unsigned char protocols[] = "\x02h2";
    if (SSL_set_alpn_protos(ssl_, protocols, sizeof protocols - 1) != 0) throw std::bad_alloc();
    X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl_);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1) return;
    // What is no address is a name; SNI is for names only (RFC 6066 §3).
    ERR_clear_error();
    if (SSL_set_tlsext_host_name(ssl_, host.c_str()) != 1 || X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), 0) != 1)
        throw std::bad_alloc();
}

TlsRecords::~TlsRecords() { SSL_free(ssl_); }

IoStatus TlsRecords::after_failure(int result) {
    const int why = SSL_get_error(ssl_, result);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return IoStatus::would_block;
    if (why == SSL_ERROR_ZERO_RETURN) return IoStatus::eof;
    // A key that signs elsewhere says first why it did not, in a library of its own; OpenSSL adds less behind it.
    const auto first = ERR_peek_error();
    ssl_error_ = ERR_GET_LIB(first) >= ERR_LIB_USER ? first : ERR_peek_last_error();
    ERR_clear_error();
    return IoStatus::failed;
}

IoStatus TlsRecords::shake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    return result == 1 ? IoStatus::done : after_failure(result);
}

IoStatus TlsRecords::try_read(std::span<char> out, std::size_t& count) {
    count = 0;
    if (fd_ < 0) return IoStatus::failed;
    may_receive_ = true;
    receive_size_ = BufferPool::size_for(out.size());
    IoStatus status = IoStatus::done;
    while (count < out.size()) {
        ERR_clear_error();
        const int room = static_cast<int>(std::min<std::size_t>(out.size() - count, 1u << 30));
        const std::size_t waiting = out_end_ - out_begin_;
        const int n = SSL_read(ssl_, out.data() + count, room);
        if (n <= 0) {
            status = after_failure(n);
            if (status == IoStatus::failed) alert_bytes_ += out_end_ - out_begin_ - waiting;
            break;
        }
        count += static_cast<std::size_t>(n);
        // Further records only from what has been received already: no second recv() while there is something to hand
        // on.
        may_receive_ = false;
    }
    // Reading may produce records of its own (a KeyUpdate's answer, an alert). What does not go now goes with the next
    // write.
    if (!flushed()) (void)try_flush();
    if (count > 0) return IoStatus::done;  // an end or error that came with it shows at the next call
    return status;
}

IoStatus TlsRecords::encrypt(std::string_view data) {
    if (fd_ < 0) return IoStatus::failed;
    ERR_clear_error();
    if (!out_) out_ = pool_.take(BufferPool::size_for(data.size()));
    const std::size_t before = out_end_;
    const int n = SSL_write(ssl_, data.data(), static_cast<int>(data.size()));
    if (n == static_cast<int>(data.size())) {
        plain_total_ += data.size();
        wire_total_ += out_end_ - before;
        return IoStatus::done;
    }
    // The block holds a chunk's records in whole, so anything else is an error of TLS.
    (void)after_failure(n);
    return IoStatus::failed;
}

IoStatus TlsRecords::try_flush(int flags) {
    while (out_begin_ != out_end_) {
        if (fd_ < 0) return IoStatus::failed;
        const ssize_t n =
            ::send(fd_, out_.data() + out_begin_, out_end_ - out_begin_, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
        if (n >= 0) {
            out_begin_ += static_cast<std::size_t>(n);
            continue;
        }
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return IoStatus::would_block;
        socket_error_ = errno;
        return IoStatus::failed;
    }
    out_.reset();
    out_begin_ = out_end_ = 0;
    return IoStatus::done;
}

IoStatus TlsRecords::close_notify() {
    if (fd_ < 0) return IoStatus::failed;
    // A second SSL_shutdown() would read, to see the peer's.
    if ((SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) != 0) return IoStatus::done;
    ERR_clear_error();
    const int result = SSL_shutdown(ssl_);
    if (result >= 0) return IoStatus::done;
    (void)after_failure(result);
    return IoStatus::failed;
}

std::size_t TlsRecords::unacknowledged() const noexcept {
    if (fd_ < 0) return 0;
    int bytes = 0;
    if (::ioctl(fd_, SIOCOUTQ, &bytes) != 0 || bytes < 0) return 0;
    // The alert is the last thing on the wire: OpenSSL writes nothing behind it.
    const std::size_t all = static_cast<std::size_t>(bytes) + (out_end_ - out_begin_);
    const std::uint64_t wire = std::min<std::uint64_t>(all - std::min(all, alert_bytes_), wire_total_);
    if (wire == 0) return 0;
    return static_cast<std::size_t>(static_cast<double>(wire) * static_cast<double>(plain_total_) /
                                    static_cast<double>(wire_total_));
}

std::uint64_t TlsRecords::unconfirmed() const noexcept {
    int bytes = 0;
    if (fd_ < 0 || ::ioctl(fd_, SIOCOUTQ, &bytes) != 0 || bytes < 0) return plain_total_;
    const std::uint64_t wire = static_cast<std::uint64_t>(bytes) + (out_end_ - out_begin_);
    // A record is longer than what it holds, and one that has arrived in part holds nothing yet.
    return wire == 0 ? 0 : std::min<std::uint64_t>(plain_total_, wire + SSL3_RT_MAX_PLAIN_LENGTH);
}

std::string_view TlsRecords::protocol() const noexcept {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_, &name, &length);
    return {reinterpret_cast<const char*>(name), length};
}

std::optional<std::array<std::uint8_t, 32>> TlsRecords::peer_key_sha256() const {
    X509* cert = SSL_get0_peer_certificate(ssl_);
    if (cert == nullptr || SSL_get_verify_result(ssl_) != X509_V_OK) return std::nullopt;
    unsigned char* der = nullptr;
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (length <= 0) return std::nullopt;
    std::array<std::uint8_t, 32> hash{};
    SHA256(der, static_cast<std::size_t>(length), hash.data());
    OPENSSL_free(der);
    return hash;
}

std::string TlsRecords::verification_error() const {
    const long result = SSL_get_verify_result(ssl_);
    return result == X509_V_OK ? std::string() : X509_verify_cert_error_string(result);
}

std::string TlsRecords::last_error() const {
    if (ssl_error_ != 0) {
        const char* reason = ERR_reason_error_string(ssl_error_);
        if (reason != nullptr) return reason;
    }
    if (socket_error_ != 0) return std::strerror(socket_error_);
    return peer_fin_ ? "connection ended without close_notify" : "connection closed";
}

}  // namespace usher::wire
