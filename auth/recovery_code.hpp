#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/secret.hpp"

/// Recovery codes: what an employee writes down for the day on which the phone is lost. Each stands once for a second
/// factor. Pure but for the randomness of make_recovery_code().
namespace usher::auth {

inline constexpr std::size_t recovery_codes_each = 10;  ///< made with each enrolment

/// "k7qm-2x5d-...": 24 characters of base32 in six groups, 120 random bits. NIST SP 800-63B-4 §3.1.2 asks for a slow
/// hash below 112 bits only; these need none.
base::Secret make_recovery_code();

/// The code as typed, without spaces and hyphens and in lower case; nullopt for what cannot be one.
std::optional<base::Secret> canonical_recovery_code(std::string_view typed);

/// What is stored: SHA-256 of the account and the canonical code, so that equal codes of two accounts (or a row copied
/// between them) have nothing in common.
using RecoveryHash = std::array<std::uint8_t, 32>;
RecoveryHash recovery_hash(std::string_view account_id, const base::Secret& canonical_code);

}  // namespace usher::auth
