#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <functional>
#include <string>

#include "auth/certificate_parts.hpp"
#include "auth/device_authority.hpp"
#include "base/clock.hpp"
#include "catch.hpp"
#include "gateway/tls/context.hpp"
#include "gateway/tls/generated_identity.hpp"

using namespace usher;
using auth::x509::CertPtr;
using auth::x509::KeyPtr;
using gateway::tls::make_server_context;

namespace {

const base::Microseconds day{std::chrono::hours{24}};

/// A server that asks for the devices of one authority, and a client that shows what it is given.
struct Handshake {
    Handshake() {
        char name[] = "/tmp/usher-device-tls-XXXXXX";
        directory = ::mkdtemp(name);
        const auto now = base::SystemClock().utc();
        auto files = gateway::tls::ensure_generated_identity(directory, now);
        REQUIRE(files);
        auto made = auth::DeviceAuthority::make(now);
        REQUIRE(made);
        parts = std::move(*made);
        auto context = make_server_context(*files, parts.certificate);
        REQUIRE(context);
        server = *context;
    }
    ~Handshake() { std::filesystem::remove_all(directory); }

    auth::DeviceAuthority authority() const {
        auto of = auth::DeviceAuthority::of(parts.certificate, &parts.private_key);
        REQUIRE(of);
        return *of;
    }

    /// The alert that the client got; "" when both went on. With what the server knows of the client's key.
    std::string shake(X509* cert, EVP_PKEY* key, int version) {
        SSL_CTX* context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_max_proto_version(context, version);
        if (cert != nullptr) {
            REQUIRE(SSL_CTX_use_certificate(context, cert) == 1);
            REQUIRE(SSL_CTX_use_PrivateKey(context, key) == 1);
        }
        SSL* client = SSL_new(context);
        SSL* peer = SSL_new(server.get());
        BIO *a = nullptr, *b = nullptr;
        BIO_new_bio_pair(&a, 1 << 16, &b, 1 << 16);
        SSL_set_bio(client, a, a);
        SSL_set_bio(peer, b, b);
        SSL_set_connect_state(client);
        SSL_set_accept_state(peer);
        ERR_clear_error();
        std::string alert;
        for (int step = 0; step < 20 && alert.empty(); ++step) {
            SSL_do_handshake(client);
            SSL_do_handshake(peer);
            char byte = 0;
            ERR_clear_error();
            if (SSL_read(client, &byte, 1) <= 0 && SSL_get_error(client, -1) == SSL_ERROR_SSL)
                alert = ERR_reason_error_string(ERR_peek_error());
        }
        shown = alert.empty() && SSL_is_init_finished(peer) && SSL_get0_peer_certificate(peer) != nullptr;
        if (alert.empty()) CHECK(SSL_is_init_finished(peer));
        SSL_free(client);
        SSL_free(peer);
        SSL_CTX_free(context);
        ERR_clear_error();
        return alert;
    }

    std::string directory;
    auth::DeviceAuthority::Parts parts;
    gateway::tls::ContextPtr server;
    bool shown = false;
};

CertPtr parse(const std::string& pem) {
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    CertPtr cert(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr), X509_free);
    BIO_free(bio);
    return cert;
}

std::string public_key_of(EVP_PKEY* key) {
    unsigned char* out = nullptr;
    const int length = i2d_PUBKEY(key, &out);
    std::string der(reinterpret_cast<char*>(out), static_cast<std::size_t>(length));
    OPENSSL_free(out);
    return der;
}

}  // namespace

TEST_CASE("a client without a certificate goes on, and one with a device's is known by its key") {
    Handshake handshake;
    const auto now = base::SystemClock().utc();
    const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const auto issued = handshake.authority().issue(public_key_of(key.get()), "d", now);
    REQUIRE(issued);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CHECK(handshake.shake(nullptr, nullptr, version).empty());
        CHECK_FALSE(handshake.shown);
        CHECK(handshake.shake(parse(issued->pem).get(), key.get(), version).empty());
        CHECK(handshake.shown);
    }
}

TEST_CASE("a certificate that has expired, is not good yet, or is of another authority ends the handshake") {
    Handshake handshake;
    const auto now = base::SystemClock().utc();
    const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const auto show = [&](const auth::DeviceAuthority& authority, base::UtcTime at, int version) {
        const auto issued = authority.issue(public_key_of(key.get()), "d", at);
        REQUIRE(issued);
        return handshake.shake(parse(issued->pem).get(), key.get(), version);
    };
    auto made = auth::DeviceAuthority::make(now);
    REQUIRE(made);
    const auto other = auth::DeviceAuthority::of(made->certificate, &made->private_key);
    REQUIRE(other);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CHECK(show(handshake.authority(), now - 366 * day, version).find("certificate expired") != std::string::npos);
        CHECK(show(handshake.authority(), now + day, version).find("bad certificate") != std::string::npos);
        CHECK(show(*other, now, version).find("unknown ca") != std::string::npos);
    }
}

TEST_CASE("the authority's own certificate, and one that is not for clients, sign nobody in") {
    Handshake handshake;
    const auto now = base::SystemClock().utc();
    const auto* in = reinterpret_cast<const unsigned char*>(handshake.parts.certificate.data());
    const CertPtr authority(d2i_X509(nullptr, &in, static_cast<long>(handshake.parts.certificate.size())), X509_free);
    in = reinterpret_cast<const unsigned char*>(handshake.parts.private_key.reveal().data());
    const KeyPtr authority_key(d2i_AutoPrivateKey(nullptr, &in, static_cast<long>(handshake.parts.private_key.size())),
                               EVP_PKEY_free);
    const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const auto with_usage = [&](const char* usage) {
        CertPtr cert(X509_new(), X509_free);
        auth::x509::set_subject(cert.get(), "Usher device", "d");
        auth::x509::set_random_serial(cert.get());
        auth::x509::set_validity(cert.get(), now, 10);
        X509_set_issuer_name(cert.get(), X509_get_subject_name(authority.get()));
        X509_set_pubkey(cert.get(), key.get());
        auth::x509::add_extension(cert.get(), authority.get(), NID_basic_constraints, "critical,CA:FALSE");
        auth::x509::add_extension(cert.get(), authority.get(), NID_key_usage, "critical,digitalSignature");
        auth::x509::add_extension(cert.get(), authority.get(), NID_subject_key_identifier, "hash");
        auth::x509::add_extension(cert.get(), authority.get(), NID_authority_key_identifier, "keyid:always");
        if (usage != nullptr) auth::x509::add_extension(cert.get(), authority.get(), NID_ext_key_usage, usage);
        X509_sign(cert.get(), authority_key.get(), EVP_sha256());
        return cert;
    };
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CHECK(handshake.shake(with_usage("clientAuth").get(), key.get(), version).empty());
        CHECK_FALSE(handshake.shake(with_usage("serverAuth").get(), key.get(), version).empty());
        CHECK_FALSE(handshake.shake(with_usage(nullptr).get(), key.get(), version).empty());
        CHECK_FALSE(handshake.shake(authority.get(), authority_key.get(), version).empty());
    }
}
