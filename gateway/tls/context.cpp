#include "gateway/tls/context.hpp"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

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

/// A device's certificate has one above it, the authority's own; more than that is a burden and no chain of ours.
constexpr int chain_depth = 0;
constexpr long chain_bytes_max = 8 * 1024;

/// A certificate without the key usage for clients would pass OpenSSL's own check.
int verify_device(int good, X509_STORE_CTX* store) {
    if (good != 1 || X509_STORE_CTX_get_error_depth(store) != 0) return good;
    if ((X509_get_extension_flags(X509_STORE_CTX_get_current_cert(store)) & EXFLAG_XKUSAGE) != 0) return good;
    X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
    return 0;
}

bool ask_for_devices(SSL_CTX* context, const std::string& authority) {
    const auto* at = reinterpret_cast<const unsigned char*>(authority.data());
    const std::unique_ptr<X509, decltype(&X509_free)> cert(d2i_X509(nullptr, &at, static_cast<long>(authority.size())),
                                                           X509_free);
    const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(), X509_STORE_free);
    if (!cert || !store || X509_STORE_add_cert(store.get(), cert.get()) != 1 ||
        X509_STORE_set_flags(store.get(), X509_V_FLAG_X509_STRICT) != 1 ||
        SSL_CTX_set1_verify_cert_store(context, store.get()) != 1 || SSL_CTX_add_client_CA(context, cert.get()) != 1)
        return false;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verify_device);
    SSL_CTX_set_verify_depth(context, chain_depth);
    SSL_CTX_set_max_cert_list(context, chain_bytes_max);
    return true;
}

}  // namespace

base::Result<ContextPtr> make_server_context(const IdentityFiles& files, const std::string& device_authority) {
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
    if (!device_authority.empty() && !ask_for_devices(c, device_authority))
        return Error{Errc::internal, "the devices' authority: " + reason()};
    return context;
}

}  // namespace usher::gateway::tls
