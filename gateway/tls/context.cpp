#include "gateway/tls/context.hpp"

#include <openssl/err.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

namespace usher::gateway::tls {
namespace {

using base::Errc;
using base::Error;

std::string reason() {
    const char* text = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return text != nullptr ? text : "OpenSSL gave no reason";
}

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in, unsigned in_length,
                void*) {
    static constexpr unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, out_length, ours, sizeof ours - 1, in, in_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

base::Result<void> readable(const std::string& path, const char* what) {
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    if (!in || in.peek() == std::ifstream::traits_type::eof())
        return Error{Errc::invalid_argument,
                     path + ": cannot be read as " + what + ": " +
                         (errno != 0 ? std::generic_category().message(errno) : std::string("it is empty"))};
    return {};
}

}  // namespace

base::Result<ContextPtr> make_server_context(const IdentityFiles& files) {
    if (auto ok = readable(files.certificate, "a PEM certificate"); !ok) return ok.error();
    if (auto ok = readable(files.private_key, "a PEM private key"); !ok) return ok.error();
    ERR_clear_error();
    ContextPtr context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    if (!context) return Error{Errc::internal, "TLS context: " + reason()};
    SSL_CTX* c = context.get();

    static constexpr unsigned char session_context[] = "usher-gateway";
    const bool set = SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
                     SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
                     SSL_CTX_set_ciphersuites(
                         c, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
                     SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384") == 1 &&
                     SSL_CTX_set_session_id_context(c, session_context, sizeof session_context - 1) == 1;
    if (!set) return Error{Errc::internal, "TLS context: " + reason()};
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_max_early_data(c, 0);
    // No resumption (docs/decisions/0008): a session made under one name or certificate is never taken up under
    // another.
    SSL_CTX_set_num_tickets(c, 0);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(c, select_alpn, nullptr);

    if (SSL_CTX_use_certificate_chain_file(c, files.certificate.c_str()) != 1)
        return Error{Errc::invalid_argument, files.certificate + ": is not a PEM certificate: " + reason()};
    if (SSL_CTX_use_PrivateKey_file(c, files.private_key.c_str(), SSL_FILETYPE_PEM) != 1)
        return Error{Errc::invalid_argument,
                     files.private_key + ": is not the PEM private key of " + files.certificate + ": " + reason()};
    if (SSL_CTX_check_private_key(c) != 1)
        return Error{Errc::invalid_argument,
                     files.private_key + ": is not the private key of " + files.certificate + ": " + reason()};
    X509* cert = SSL_CTX_get0_certificate(c);
    if (cert == nullptr || X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        return Error{Errc::invalid_argument, files.certificate + ": has expired; put a current certificate there"};
    return context;
}

}  // namespace usher::gateway::tls
