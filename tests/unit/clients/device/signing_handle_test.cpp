#include "clients/device/signing_handle.hpp"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <atomic>

#include "catch.hpp"

using namespace usher::clients;
using namespace usher::clients::device;
using usher::base::Errc;
using usher::base::Result;

namespace {

/// A key that signs as a token does: r and s, and only digests of 32 bytes.
struct SoftToken {
    std::shared_ptr<EVP_PKEY> key{EVP_EC_gen("P-256"), EVP_PKEY_free};
    std::atomic<int> signed_count{0};

    P256Point point() const {
        P256Point out{};
        std::size_t length = 0;
        REQUIRE(EVP_PKEY_get_octet_string_param(key.get(), "encoded-pub-key", out.data(), out.size(), &length) == 1);
        REQUIRE(length == out.size());
        return out;
    }
    Result<std::array<std::uint8_t, 64>> sign(std::span<const std::uint8_t> digest) {
        ++signed_count;
        ERR_raise(ERR_LIB_USER, 1);  // as a module may leave behind what was not in the way
        std::array<std::uint8_t, 64> raw{};
        std::array<unsigned char, 80> der{};
        std::size_t length = der.size();
        const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(EVP_PKEY_CTX_new(key.get(), nullptr),
                                                                                  EVP_PKEY_CTX_free);
        if (digest.size() != 32 || EVP_PKEY_sign_init(context.get()) != 1 ||
            EVP_PKEY_sign(context.get(), der.data(), &length, digest.data(), digest.size()) != 1)
            return {Errc::internal, "no"};
        const unsigned char* at = der.data();
        const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(
            d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(length)), ECDSA_SIG_free);
        BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + 32, 32);
        return raw;
    }
    KeyHandle handle() {
        auto made = signing_handle(point(), [this](auto digest) { return sign(digest); });
        REQUIRE(made.ok());
        return *made;
    }
};

using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;

/// Signed by the key itself.
CertificatePtr certificate_of(const KeyHandle& key) {
    CertificatePtr made(X509_new(), X509_free);
    X509_set_version(made.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
    X509_set_pubkey(made.get(), key.get());
    REQUIRE(X509_sign(made.get(), key.get(), EVP_sha256()) > 0);
    return made;
}

using ContextPtr = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

/// Whether a handshake over memory ends well, at this version and with the server asking for this kind of signature.
bool shakes_hands(const KeyHandle& key, int version, const char* signatures) {
    const KeyHandle server_key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const auto server_certificate = certificate_of(server_key), client_certificate = certificate_of(key);
    const ContextPtr to_serve(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    const ContextPtr to_ask(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    SSL_CTX_use_certificate(to_serve.get(), server_certificate.get());
    SSL_CTX_use_PrivateKey(to_serve.get(), server_key.get());
    SSL_CTX_set_verify(to_serve.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       [](int, X509_STORE_CTX*) { return 1; });
    SSL_CTX_set1_client_sigalgs_list(to_serve.get(), signatures);
    SSL_CTX_set_max_proto_version(to_serve.get(), version);
    REQUIRE(SSL_CTX_use_certificate(to_ask.get(), client_certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(to_ask.get(), key.get()) == 1);
    const std::unique_ptr<SSL, decltype(&SSL_free)> server(SSL_new(to_serve.get()), SSL_free);
    const std::unique_ptr<SSL, decltype(&SSL_free)> client(SSL_new(to_ask.get()), SSL_free);
    BIO *one = nullptr, *other = nullptr;
    REQUIRE(BIO_new_bio_pair(&one, 0, &other, 0) == 1);
    SSL_set_bio(server.get(), one, one);
    SSL_set_bio(client.get(), other, other);
    SSL_set_accept_state(server.get());
    SSL_set_connect_state(client.get());
    int asked = 0, served = 0;
    for (int turn = 0; turn < 10 && (asked != 1 || served != 1); ++turn) {
        if (asked != 1) asked = SSL_do_handshake(client.get());
        if (served != 1) served = SSL_do_handshake(server.get());
    }
    return asked == 1 && served == 1 && SSL_version(client.get()) == version;
}

}  // namespace

TEST_CASE("a certificate request is signed by a key that is somewhere else") {
    SoftToken token;
    const auto der = certificate_request(token.handle());
    REQUIRE(der.ok());
    CHECK(token.signed_count == 1);
    const auto* at = reinterpret_cast<const unsigned char*>(der->data());
    const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(
        d2i_X509_REQ(nullptr, &at, static_cast<long>(der->size())), X509_REQ_free);
    REQUIRE(request);
    CHECK(X509_REQ_verify(request.get(), X509_REQ_get0_pubkey(request.get())) == 1);
    CHECK(EVP_PKEY_eq(X509_REQ_get0_pubkey(request.get()), token.key.get()) == 1);
}

TEST_CASE("such a key proves itself in TLS 1.2 and 1.3, with a longer digest too") {
    SoftToken token;
    const auto key = token.handle();
    CHECK(shakes_hands(key, TLS1_3_VERSION, "ECDSA+SHA256"));
    CHECK(shakes_hands(key, TLS1_2_VERSION, "ECDSA+SHA256"));
    CHECK(shakes_hands(key, TLS1_2_VERSION, "ECDSA+SHA512"));
    CHECK(token.signed_count >= 3);
    // A context or a connection may keep the key alone.
    const KeyHandle kept(EVP_PKEY_dup(key.get()), EVP_PKEY_free);
    if (kept) CHECK(certificate_request(kept).ok());
}

TEST_CASE("a certificate is compared with the public half, so one of another key is told") {
    SoftToken token, other;
    const auto key = token.handle();
    const auto mine = certificate_of(key), foreign = certificate_of(other.handle());
    CHECK(X509_check_private_key(mine.get(), key.get()) == 1);
    CHECK(X509_check_private_key(foreign.get(), key.get()) != 1);
    ERR_clear_error();
}

TEST_CASE("a token that does not sign is the reason that OpenSSL gives") {
    SoftToken token;
    const std::vector<std::pair<Errc, std::string>> reasons{
        {Errc::unavailable, "is not there"}, {Errc::permission_denied, "PIN"}, {Errc::internal, "did not sign"}};
    for (const auto& [code, words] : reasons) {
        const auto key = signing_handle(token.point(), [code = code](auto) -> Result<std::array<std::uint8_t, 64>> {
            return {code, "in full"};
        });
        REQUIRE(key.ok());
        ERR_clear_error();
        const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
        std::array<unsigned char, 80> signature{};
        std::size_t length = signature.size();
        REQUIRE(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key->get()) == 1);
        CHECK(EVP_DigestSign(context.get(), signature.data(), &length, signature.data(), 1) != 1);
        const char* reason = ERR_reason_error_string(ERR_peek_error());
        REQUIRE(reason != nullptr);
        CHECK(std::string(reason).find(words) != std::string::npos);
        ERR_clear_error();
    }
}

TEST_CASE("a point that is not on the curve makes no key") {
    P256Point point{};
    point[0] = 4;
    point[64] = 1;
    const auto key = signing_handle(point, [](auto) -> Result<std::array<std::uint8_t, 64>> {
        return {Errc::internal, ""};
    });
    REQUIRE_FALSE(key.ok());
    CHECK(key.error().code == Errc::invalid_argument);
}
