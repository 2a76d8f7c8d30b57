#pragma once
#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace usher::clients {

using KeyHandle = std::shared_ptr<EVP_PKEY>;

/// Where the private key of this device is. What handle() gives signs; whether the key itself is in it is the
/// implementation's matter: FileDeviceKey has it, TokenDeviceKey leaves it on a token or in a TPM (PKCS#11). One thread
/// at a time; what handle() gave may be used by many.
class DeviceKey {
public:
    virtual ~DeviceKey() = default;
    /// nullptr inside when there is none yet.
    virtual base::Result<KeyHandle> handle() const = 0;
    /// Makes a new P-256 key in place of what was there.
    virtual base::Result<KeyHandle> make() = 0;
    virtual base::Result<void> remove() = 0;
    /// Where it is, in words that are safe for a terminal.
    virtual std::string shown() const = 0;
};

/// A key in a file that only its owner may read (PKCS#8, PEM, mode 0600).
class FileDeviceKey final : public DeviceKey {
public:
    explicit FileDeviceKey(std::string path) : path_(std::move(path)) {}
    base::Result<KeyHandle> handle() const override;
    base::Result<KeyHandle> make() override;
    base::Result<void> remove() override;
    std::string shown() const override;

private:
    std::string path_;
};

/// A PKCS#10 request (RFC 2986) of the key, DER: it proves that whoever sends it has the key, and says nothing else.
base::Result<std::string> certificate_request(const KeyHandle& key);

/// The key and the certificate that a gateway's authority has given for it.
struct DeviceIdentity {
    KeyHandle key;
    std::shared_ptr<X509> certificate;
    std::string pem;  ///< of the certificate
    base::UtcTime not_before{}, not_after{};

    /// invalid_argument when the text is no certificate, or one of another key.
    static base::Result<DeviceIdentity> of(KeyHandle key, const std::string& pem);
    bool expired(base::UtcTime now) const noexcept { return now >= not_after; }
    /// Less than a third of its time is left.
    bool to_be_renewed(base::UtcTime now) const noexcept { return now >= not_after - (not_after - not_before) / 3; }
};

}  // namespace usher::clients
