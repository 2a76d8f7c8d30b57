#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace usher::clients::device {

using Bytes = std::vector<std::uint8_t>;
/// Uncompressed: 4, x, y (SEC 1 §2.3.3).
using P256Point = std::array<std::uint8_t, 65>;

/// The curve as CKA_EC_PARAMS has it: the DER of its object identifier (RFC 5480 §2.1.1.1).
std::span<const std::uint8_t> p256_parameters() noexcept;

/// What C_Sign(CKM_ECDSA) gives, r and s of 32 bytes each (PKCS#11 v2.40 Current Mechanisms §2.3.1), as TLS and X.509
/// want it: the DER of ECDSA-Sig-Value (RFC 3279 §2.2.3), 8 to 72 bytes. nullopt: another length, or r or s is zero,
/// which no signature has.
std::optional<Bytes> der_signature(std::span<const std::uint8_t> r_and_s);

/// The public key of what CKA_EC_POINT holds: the DER OCTET STRING that PKCS#11 v2.40 §2.3.3 asks for, or the point
/// itself, as older modules give it. nullopt: no uncompressed point of P-256's length. Whether it is on the curve is
/// not looked at.
std::optional<P256Point> point_of(std::span<const std::uint8_t> ec_point) noexcept;

}  // namespace usher::clients::device
