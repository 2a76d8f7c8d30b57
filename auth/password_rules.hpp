#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/secret.hpp"

/// What a new password must be (NIST SP 800-63B-4 §3.1.1.2): long, and none of those that are guessed first. No rules
/// of composition, no expiry, no hints. Pure.
namespace usher::auth {

inline constexpr std::size_t password_length_alone = 15;  ///< code points, where it is all that is asked for
inline constexpr std::size_t password_length_beside_second_factor = 8;

/// Unicode's canonical composition (NFC), in which a password is measured, hashed and compared: the same characters
/// typed on two keyboards are the same password. nullopt for what is not UTF-8.
std::optional<base::Secret> normalize_password(const base::Secret& password);
/// Code points of well-formed UTF-8.
std::size_t code_points(std::string_view text) noexcept;

/// Whose password it will be. Words of these that have at least three letters are no password by themselves.
struct PasswordOwner {
    std::string username, display_name, department;
    bool second_factor = false;  ///< is asked for at every sign-in
};

/// Whether `password` may be set. The error begins with "password: " and names the rule that it breaks, for whoever
/// sets it; it holds nothing of the password. Refused are, after case folding: what is too short or too long; what is
/// on the list of common passwords, also with digits and signs around it; one short text again and again; runs of the
/// alphabet, of digits or of a keyboard; and what is little more than the owner's names, the department, or "usher".
base::Result<void> check_new_password(const base::Secret& password, const PasswordOwner& owner);

/// Whether it would be too short without a second factor. Of a password that passed the check.
bool needs_second_factor(const base::Secret& password);

}  // namespace usher::auth
