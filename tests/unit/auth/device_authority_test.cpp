#include "auth/device_authority.hpp"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "auth/certificate_parts.hpp"
#include "auth/support.hpp"
#include "base/ids.hpp"

using namespace usher;
using namespace usher::test;
using auth::CertificateRequest;
using auth::DeviceAuthority;
using auth::x509::CertPtr;
using auth::x509::KeyPtr;
using base::Errc;

namespace {

KeyPtr p256() { return KeyPtr(EVP_EC_gen("P-256"), EVP_PKEY_free); }

/// A request of `key` that `signer` signs.
std::string request_of(EVP_PKEY* key, EVP_PKEY* signer, const EVP_MD* digest = EVP_sha256()) {
    X509_REQ* request = X509_REQ_new();
    X509_REQ_set_version(request, X509_REQ_VERSION_1);
    X509_REQ_set_pubkey(request, key);
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("administrator"), -1, -1, 0);
    REQUIRE(X509_REQ_sign(request, signer, digest) > 0);
    unsigned char* out = nullptr;
    const int length = i2d_X509_REQ(request, &out);
    std::string der(reinterpret_cast<char*>(out), static_cast<std::size_t>(length));
    OPENSSL_free(out);
    X509_REQ_free(request);
    return der;
}

CertPtr parse(const std::string& pem) {
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    CertPtr cert(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr), X509_free);
    BIO_free(bio);
    return cert;
}

int verify(const std::string& authority_der, X509* cert, base::UtcTime at) {
    const auto* in = reinterpret_cast<const unsigned char*>(authority_der.data());
    const CertPtr authority(d2i_X509(nullptr, &in, static_cast<long>(authority_der.size())), X509_free);
    X509_STORE* store = X509_STORE_new();
    X509_STORE_add_cert(store, authority.get());
    X509_STORE_CTX* context = X509_STORE_CTX_new();
    X509_STORE_CTX_init(context, store, cert, nullptr);
    X509_VERIFY_PARAM* wanted = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_purpose(wanted, X509_PURPOSE_SSL_CLIENT);
    X509_VERIFY_PARAM_set_time(wanted, static_cast<time_t>(base::to_micros(at) / 1'000'000));
    X509_verify_cert(context);
    const int result = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return result;
}

const base::Microseconds day{std::chrono::hours{24}};

}  // namespace

TEST_CASE("of a certificate request its key is taken, and only one that has signed it") {
    const auto key = p256();
    const auto other = p256();
    const auto good = request_of(key.get(), key.get());
    const auto request = must(CertificateRequest::read(good));
    CHECK(request.public_key().size() == 91);
    CHECK(request.key_sha256() == must(CertificateRequest::read(request_of(key.get(), key.get()))).key_sha256());
    CHECK(request.key_sha256() != must(CertificateRequest::read(request_of(other.get(), other.get()))).key_sha256());

    std::string broken = good;
    broken[broken.size() - 4] = static_cast<char>(broken[broken.size() - 4] ^ 1);
    const KeyPtr p384(EVP_EC_gen("P-384"), EVP_PKEY_free);
    const KeyPtr rsa(EVP_RSA_gen(2048), EVP_PKEY_free);
    const KeyPtr compressed = p256();
    EVP_PKEY_set_utf8_string_param(compressed.get(), "point-format", "compressed");
    for (const auto& bad :
         {std::string(), good + "x", good.substr(0, good.size() - 1), broken, std::string(5000, 'x'),
          std::string("-----BEGIN CERTIFICATE REQUEST-----"), request_of(key.get(), other.get()),
          request_of(p384.get(), p384.get()), request_of(rsa.get(), rsa.get()),
          request_of(compressed.get(), compressed.get()), request_of(key.get(), key.get(), EVP_sha1())}) {
        CHECK(error_of(CertificateRequest::read(bad)).code == Errc::invalid_argument);
    }
}

TEST_CASE("a device's certificate is for TLS clients, names nobody and ends after a year") {
    const auto parts = must(DeviceAuthority::make(test_start));
    const auto authority = must(DeviceAuthority::of(parts.certificate, &parts.private_key));
    const auto key = p256();
    const auto request = must(CertificateRequest::read(request_of(key.get(), key.get())));
    const auto issued = must(authority.issue(request.public_key(), "0193-device", test_start));
    const auto cert = parse(issued.pem);
    REQUIRE(cert);
    CHECK(issued.not_after == test_start - std::chrono::minutes(5) + 365 * day);
    CHECK(X509_check_private_key(cert.get(), key.get()) == 1);
    CHECK(X509_get_extended_key_usage(cert.get()) == XKU_SSL_CLIENT);
    CHECK(X509_check_ca(cert.get()) == 0);
    char subject[256] = {};
    X509_NAME_oneline(X509_get_subject_name(cert.get()), subject, sizeof subject);
    CHECK(std::string(subject) == "/O=Usher device/CN=0193-device");

    CHECK(verify(parts.certificate, cert.get(), test_start) == X509_V_OK);
    CHECK(verify(parts.certificate, cert.get(), test_start + 364 * day) == X509_V_OK);
    CHECK(verify(parts.certificate, cert.get(), test_start + 366 * day) == X509_V_ERR_CERT_HAS_EXPIRED);
    CHECK(verify(parts.certificate, cert.get(), test_start - day) == X509_V_ERR_CERT_NOT_YET_VALID);
    const auto another = must(DeviceAuthority::make(test_start));
    CHECK(verify(another.certificate, cert.get(), test_start) != X509_V_OK);
    CHECK(must(authority.issue(request.public_key(), "0193-device", test_start)).serial != issued.serial);
}

TEST_CASE("an authority without its key recognises devices and makes none; one with another key is refused") {
    const auto parts = must(DeviceAuthority::make(test_start));
    const auto other = must(DeviceAuthority::make(test_start));
    const auto keyless = must(DeviceAuthority::of(parts.certificate, nullptr));
    CHECK_FALSE(keyless.can_issue());
    const auto key = p256();
    const auto request = must(CertificateRequest::read(request_of(key.get(), key.get())));
    CHECK(error_of(keyless.issue(request.public_key(), "d", test_start)).code == Errc::failed_precondition);
    CHECK(error_of(DeviceAuthority::of(parts.certificate, &other.private_key)).code == Errc::data_loss);
    CHECK(error_of(DeviceAuthority::of("", nullptr)).code == Errc::data_loss);
    CHECK(error_of(DeviceAuthority::of(parts.certificate + "x", nullptr)).code == Errc::data_loss);
}
