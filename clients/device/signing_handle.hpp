#pragma once
#include <functional>
#include <optional>

#include "base/result.hpp"
#include "clients/common/device_key.hpp"
#include "clients/device/p256_encoding.hpp"

namespace usher::clients::device {

/// Signs a digest of at most 32 bytes; gives r and s. Called by any thread.
using SignDigest = std::function<base::Result<std::array<std::uint8_t, 64>>(std::span<const std::uint8_t>)>;

/// An EVP_PKEY that has the public key alone and signs by `sign`: for TLS 1.2 and 1.3, PKCS#10 and EVP_DigestSign.
/// OpenSSL 3.0 knows two ways to such a key, a provider and an EC_KEY_METHOD; the latter is deprecated and there in
/// 3.x, and a tenth of the code. A signature that fails leaves a reason in OpenSSL's queue.
/// invalid_argument: the point is not on the curve.
base::Result<KeyHandle> signing_handle(const P256Point& point, SignDigest sign);

}  // namespace usher::clients::device
