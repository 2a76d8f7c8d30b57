#include "clients/common/device_key.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>

#include "base/secret.hpp"
#include "base/text.hpp"
#include "clients/common/private_file.hpp"

namespace usher::clients {

using base::Errc;
using base::Error;
using base::Result;

namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

Error openssl_error(const std::string& what) {
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return {Errc::internal, what + ": " + (reason != nullptr ? reason : "OpenSSL gave no reason")};
}

BioPtr reading(std::string_view text) {
    return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free_all};
}

/// A passphrase is asked for by nobody: such a key was not written here.
int no_passphrase(char*, int, int, void*) { return -1; }

std::optional<base::UtcTime> time_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
    return base::from_micros(static_cast<std::int64_t>(::timegm(&parts)) * 1'000'000);
}

}  // namespace

Result<KeyHandle> FileDeviceKey::handle() const {
    auto text = read_private_file(path_, true);
    if (!text) return std::move(text).error();
    if (!*text) return KeyHandle();
    ERR_clear_error();
    const auto bio = reading(**text);
    KeyHandle key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr) : nullptr, EVP_PKEY_free);
    base::wipe(**text);
    ERR_clear_error();
    if (!key)
        return Error{Errc::data_loss, base::escape_for_terminal(path_) + " is no private key; enrol this device anew"};
    return key;
}

Result<KeyHandle> FileDeviceKey::make() {
    KeyHandle key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const BioPtr bio(BIO_new(BIO_s_secmem()), BIO_free_all);
    if (!key || !bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
        return openssl_error("making a key");
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    auto written = write_private_file(path_, {data, static_cast<std::size_t>(size)});
    OPENSSL_cleanse(data, static_cast<std::size_t>(size));
    if (!written) return written.error();
    return key;
}

Result<void> FileDeviceKey::remove() { return remove_private_file(path_); }

std::string FileDeviceKey::shown() const { return base::escape_for_terminal(path_); }

Result<std::string> certificate_request(const KeyHandle& key) {
    ERR_clear_error();
    const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(X509_REQ_new(), X509_REQ_free);
    if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
        X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0)
        return openssl_error("making a certificate request");
    unsigned char* out = nullptr;
    const int length = i2d_X509_REQ(request.get(), &out);
    if (length <= 0) return openssl_error("encoding a certificate request");
    std::string der(reinterpret_cast<const char*>(out), static_cast<std::size_t>(length));
    OPENSSL_free(out);
    return der;
}

Result<DeviceIdentity> DeviceIdentity::of(KeyHandle key, const std::string& pem) {
    ERR_clear_error();
    const auto bio = reading(pem);
    DeviceIdentity identity;
    identity.certificate.reset(bio ? PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr) : nullptr,
                               X509_free);
    const bool fits = identity.certificate && X509_check_private_key(identity.certificate.get(), key.get()) == 1;
    ERR_clear_error();
    if (!fits) return Error{Errc::invalid_argument, "it is no certificate of this device's key"};
    const auto from = time_of(X509_get0_notBefore(identity.certificate.get()));
    const auto until = time_of(X509_get0_notAfter(identity.certificate.get()));
    if (!from || !until) return Error{Errc::invalid_argument, "it has a malformed time"};
    identity.key = std::move(key);
    identity.pem = pem;
    identity.not_before = *from;
    identity.not_after = *until;
    return identity;
}

}  // namespace usher::clients
