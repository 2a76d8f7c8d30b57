#include "auth/certificate_parts.hpp"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/ids.hpp"

namespace usher::auth::x509 {

namespace {
constexpr time_t clock_slack_seconds = 300;
}

base::Error openssl_error(const std::string& what) {
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return {base::Errc::internal, what + ": " + (reason != nullptr ? reason : "OpenSSL gave no reason")};
}

bool add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    if (extension == nullptr) return false;
    const bool added = X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

bool set_random_serial(X509* cert) {
    std::uint8_t bytes[16];
    base::random_bytes(bytes);
    bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x7f) | 0x01);
    BIGNUM* number = BN_bin2bn(bytes, sizeof bytes, nullptr);
    const bool set = number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != nullptr;
    BN_free(number);
    return set;
}

bool set_validity(X509* cert, base::UtcTime now, int days) {
    time_t start = static_cast<time_t>(base::to_micros(now) / 1'000'000) - clock_slack_seconds;
    return X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &start) != nullptr &&
           X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, &start) != nullptr;
}

bool set_subject(X509* cert, std::string_view organization, std::string_view common_name) {
    X509_NAME* subject = X509_get_subject_name(cert);
    const auto add = [subject](const char* field, std::string_view value) {
        return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                          reinterpret_cast<const unsigned char*>(value.data()),
                                          static_cast<int>(value.size()), -1, 0) == 1;
    };
    return X509_set_version(cert, X509_VERSION_3) == 1 && add("O", organization) && add("CN", common_name);
}

}  // namespace usher::auth::x509
