#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "auth/device.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

struct evp_pkey_st;
struct x509_st;

namespace usher::auth {

inline constexpr std::size_t certificate_request_bytes_max = 4096;
inline constexpr int device_certificate_days = 365;

/// The one thing that is taken from a PKCS#10 request (RFC 2986): the key, which the request has proved the possession
/// of. Names and extensions in it are nobody's word.
class CertificateRequest {
public:
    /// Reads DER of at most 4 KiB and nothing behind it. invalid_argument unless the key is P-256, uncompressed and by
    /// the curve's name, and has signed the request with ECDSA and SHA-2. The message holds nothing of the request.
    static base::Result<CertificateRequest> read(std::string_view der);
    const DeviceKeyHash& key_sha256() const noexcept { return key_sha256_; }
    const std::string& public_key() const noexcept { return public_key_; }  ///< SubjectPublicKeyInfo, DER

private:
    CertificateRequest() = default;
    std::string public_key_;
    DeviceKeyHash key_sha256_{};
};

struct IssuedCertificate {
    std::string pem;
    std::string serial;  ///< lower-case hexadecimal
    base::UtcTime not_after{};
};

/// The authority (EC P-256, self-signed, for twenty years) that vouches for the keys of devices, and for nothing else.
/// Immutable; thread-safe.
class DeviceAuthority {
public:
    struct Parts {
        std::string certificate;   ///< DER
        base::Secret private_key;  ///< PKCS#8, DER
    };
    static base::Result<Parts> make(base::UtcTime now);
    /// data_loss when the certificate is none, or the key is not its own. Without a key it vouches for nothing new.
    static base::Result<DeviceAuthority> of(std::string_view certificate, const base::Secret* private_key);

    bool can_issue() const noexcept { return key_ != nullptr; }
    const std::string& certificate() const noexcept { return certificate_; }  ///< DER
    /// A certificate of the key for TLS clients, of one year, with the URI urn:usher:device:ID. failed_precondition
    /// without the authority's key.
    base::Result<IssuedCertificate> issue(const std::string& public_key, const std::string& device_id,
                                          base::UtcTime now) const;

private:
    DeviceAuthority() = default;
    std::string certificate_;
    std::shared_ptr<x509_st> parsed_;
    std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace usher::auth
