#include "auth/device_authority.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#include "auth/certificate_parts.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using x509::add_extension;
using x509::CertPtr;
using x509::KeyPtr;
using x509::openssl_error;

/// A P-256 key by the curve's name with its point uncompressed is always so long (RFC 5480).
constexpr std::size_t public_key_bytes = 91;
constexpr int authority_days = 7'300;
constexpr std::size_t authority_bytes_max = 4096;

const unsigned char* bytes_of(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}

DeviceKeyHash hash_of(std::string_view bytes) {
    DeviceKeyHash hash{};
    crypto_hash_sha256(hash.data(), bytes_of(bytes), bytes.size());
    return hash;
}

/// What an i2d function writes; empty when it cannot.
template <class T>
std::string der_of(int (*encode)(T*, unsigned char**), T* what) {
    unsigned char* out = nullptr;
    const int length = encode(what, &out);
    if (length <= 0) return {};
    std::string der(reinterpret_cast<const char*>(out), static_cast<std::size_t>(length));
    OPENSSL_clear_free(out, static_cast<std::size_t>(length));
    return der;
}

std::string public_key_of(EVP_PKEY* key) {
    return der_of<const EVP_PKEY>([](const EVP_PKEY* k, unsigned char** out) { return i2d_PUBKEY(k, out); }, key);
}

bool is_p256(EVP_PKEY* key) {
    char group[64] = {};
    std::size_t length = 0;
    return key != nullptr && EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &length) == 1 &&
           std::string_view(group, length) == "prime256v1";
}

bool is_sha2_ecdsa(int nid) {
    return nid == NID_ecdsa_with_SHA256 || nid == NID_ecdsa_with_SHA384 || nid == NID_ecdsa_with_SHA512;
}

Result<std::string> read_request(std::string_view der) {
    const auto bad = [](const char* what) { return Error{Errc::invalid_argument, what}; };
    if (der.empty() || der.size() > certificate_request_bytes_max) return bad("the request is empty or too long");
    const unsigned char* at = bytes_of(der);
    const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(
        d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())), X509_REQ_free);
    if (!request || at != bytes_of(der) + der.size()) return bad("it is no PKCS#10 request in DER");
    EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
    if (!is_p256(key)) return bad("its key is not of the curve P-256");
    std::string public_key = public_key_of(key);
    if (public_key.size() != public_key_bytes) return bad("its key is not written in the usual form");
    if (!is_sha2_ecdsa(X509_REQ_get_signature_nid(request.get())) || X509_REQ_verify(request.get(), key) != 1)
        return bad("its key has not signed it");
    return public_key;
}

/// Seconds of an ASN.1 time.
std::optional<base::UtcTime> time_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
    return base::from_micros(static_cast<std::int64_t>(::timegm(&parts)) * 1'000'000);
}

std::string serial_of(X509* cert) {
    BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), nullptr);
    char* digits = number != nullptr ? BN_bn2hex(number) : nullptr;
    std::string serial = digits != nullptr ? base::to_lower(digits) : std::string();
    OPENSSL_free(digits);
    BN_free(number);
    return serial;
}

std::string pem_of(X509* cert) {
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new(BIO_s_mem()), BIO_free_all);
    if (!bio || PEM_write_bio_X509(bio.get(), cert) != 1) return {};
    char* data = nullptr;
    const long n = BIO_get_mem_data(bio.get(), &data);
    return n > 0 ? std::string(data, static_cast<std::size_t>(n)) : std::string();
}

}  // namespace

Result<CertificateRequest> CertificateRequest::read(std::string_view der) {
    auto key = read_request(der);
    ERR_clear_error();
    if (!key) return std::move(key).error();
    CertificateRequest request;
    request.key_sha256_ = hash_of(*key);
    request.public_key_ = std::move(*key);
    return request;
}

Result<DeviceAuthority::Parts> DeviceAuthority::make(base::UtcTime now) {
    ERR_clear_error();
    const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const CertPtr cert(X509_new(), X509_free);
    if (!key || !cert) return openssl_error("making the key of the devices' authority");
    // A name of its own, by which a device finds among its certificates the one that a gateway asks for.
    const auto id = hash_of(public_key_of(key.get()));
    const bool made =
        x509::set_subject(cert.get(), "Usher", "Usher device CA " + base::to_hex(std::span(id).first(8))) &&
        x509::set_random_serial(cert.get()) &&
        X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get())) == 1 &&
        x509::set_validity(cert.get(), now, authority_days) && X509_set_pubkey(cert.get(), key.get()) == 1 &&
        add_extension(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(cert.get(), cert.get(), NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(cert.get(), cert.get(), NID_subject_key_identifier, "hash") &&
        X509_sign(cert.get(), key.get(), EVP_sha256()) > 0;
    if (!made) return openssl_error("making the certificate of the devices' authority");
    Parts parts;
    parts.certificate =
        der_of<const X509>([](const X509* c, unsigned char** out) { return i2d_X509(c, out); }, cert.get());
    const std::unique_ptr<PKCS8_PRIV_KEY_INFO, decltype(&PKCS8_PRIV_KEY_INFO_free)> pkcs8(EVP_PKEY2PKCS8(key.get()),
                                                                                          PKCS8_PRIV_KEY_INFO_free);
    if (pkcs8)
        parts.private_key = base::Secret(der_of<const PKCS8_PRIV_KEY_INFO>(
            [](const PKCS8_PRIV_KEY_INFO* k, unsigned char** out) { return i2d_PKCS8_PRIV_KEY_INFO(k, out); },
            pkcs8.get()));
    if (parts.certificate.empty() || parts.private_key.empty()) return openssl_error("encoding the devices' authority");
    return parts;
}

Result<DeviceAuthority> DeviceAuthority::of(std::string_view certificate, const base::Secret* private_key) {
    const auto bad = [](const char* what) {
        ERR_clear_error();
        return Error{Errc::data_loss, std::string("the devices' authority ") + what};
    };
    DeviceAuthority authority;
    authority.certificate_ = std::string(certificate);
    const unsigned char* at = bytes_of(certificate);
    if (!certificate.empty() && certificate.size() <= authority_bytes_max)
        authority.parsed_.reset(d2i_X509(nullptr, &at, static_cast<long>(certificate.size())), X509_free);
    if (!authority.parsed_ || at != bytes_of(certificate) + certificate.size())
        return bad("has no certificate that can be read");
    if (!is_p256(X509_get0_pubkey(authority.parsed_.get())) || X509_check_ca(authority.parsed_.get()) != 1)
        return bad("has a certificate of another kind");
    if (private_key == nullptr) return authority;
    at = bytes_of(private_key->reveal());
    authority.key_.reset(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(private_key->size())), EVP_PKEY_free);
    if (!authority.key_ || X509_check_private_key(authority.parsed_.get(), authority.key_.get()) != 1)
        return bad("has a key that is not its certificate's");
    return authority;
}

Result<IssuedCertificate> DeviceAuthority::issue(const std::string& public_key, const std::string& device_id,
                                                 base::UtcTime now) const {
    if (!key_)
        return Error{Errc::failed_precondition,
                     "the key of the devices' authority is sealed with a key that is not in 'sealing_keys'"};
    ERR_clear_error();
    const unsigned char* at = bytes_of(public_key);
    const KeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(public_key.size())), EVP_PKEY_free);
    const CertPtr cert(X509_new(), X509_free);
    if (!key || !cert) return openssl_error("making a device's certificate");
    X509* authority = parsed_.get();
    const bool made =
        // Whose it is stands in the database: a certificate goes over many networks, and names nobody.
        x509::set_subject(cert.get(), "Usher device", device_id) && x509::set_random_serial(cert.get()) &&
        X509_set_issuer_name(cert.get(), X509_get_subject_name(authority)) == 1 &&
        x509::set_validity(cert.get(), now, device_certificate_days) && X509_set_pubkey(cert.get(), key.get()) == 1 &&
        add_extension(cert.get(), authority, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(cert.get(), authority, NID_key_usage, "critical,digitalSignature") &&
        add_extension(cert.get(), authority, NID_ext_key_usage, "clientAuth") &&
        add_extension(cert.get(), authority, NID_subject_key_identifier, "hash") &&
        add_extension(cert.get(), authority, NID_authority_key_identifier, "keyid:always") &&
        add_extension(cert.get(), authority, NID_subject_alt_name, "URI:urn:usher:device:" + device_id) &&
        X509_sign(cert.get(), key_.get(), EVP_sha256()) > 0;
    if (!made) return openssl_error("making a device's certificate");
    const auto until = time_of(X509_get0_notAfter(cert.get()));
    IssuedCertificate issued{pem_of(cert.get()), serial_of(cert.get()), until.value_or(base::UtcTime{})};
    if (issued.pem.empty() || issued.serial.empty() || !until) return openssl_error("encoding a device's certificate");
    return issued;
}

}  // namespace usher::auth
