#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/secret.hpp"

/// Time-based one-time codes (RFC 6238) in the form that every authenticator app knows: HMAC-SHA-1, six digits, steps
/// of 30 s. Pure; what makes a code good for one use only is in auth/second_factor.hpp.
namespace usher::auth {

inline constexpr std::size_t totp_seed_bytes = 20;  ///< RFC 4226 §4 R6 recommends 160 bits
inline constexpr std::size_t totp_digits = 6;
inline constexpr std::int64_t totp_step_seconds = 30;

/// A seed of the operating system's randomness.
base::Secret make_totp_seed();

/// The number of the time step that `now` is in, counted from 1970.
std::int64_t totp_step(base::UtcTime now) noexcept;

/// The code of one step.
base::Secret totp_code(const base::Secret& seed, std::int64_t step);

/// The step whose code this is: the one of `now`, the one before or the one after (RFC 6238 §5.2: clocks differ, and
/// typing takes time), the latest where two have the same code. nullopt for any other text. Takes the same time for
/// every text of six characters.
std::optional<std::int64_t> match_totp(const base::Secret& seed, std::string_view code, base::UtcTime now);

/// Base32 of RFC 4648 §6 in upper case without padding, as people type a seed into an app.
base::Secret base32_encode(std::string_view bytes);

/// "otpauth://totp/ISSUER:USERNAME?secret=...", for a QR code or for pasting. Both names are percent-encoded.
base::Secret totp_uri(std::string_view issuer, std::string_view username, const base::Secret& seed);

}  // namespace usher::auth
