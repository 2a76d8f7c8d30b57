#pragma once
#include <string>
#include <string_view>

#include "auth/model.hpp"
#include "base/result.hpp"

/// The rules that texts and lists of the directory obey, in one place: what is written is checked by them, and what is
/// read back is too. Every error begins with the field's name. Pure.
namespace usher::auth {

inline constexpr std::size_t text_bytes_max = 200;
inline constexpr std::size_t groups_max = 100;
inline constexpr std::size_t destinations_max = 100;
inline constexpr std::size_t allow_addresses_max = 100;
inline constexpr std::size_t policy_apps_max = 100;
inline constexpr std::size_t rules_max = 1000;           ///< of one list
inline constexpr std::size_t policy_values_max = 10000;  ///< over all rules of a policy: bounds one decision
inline constexpr std::size_t expectations_max = 1000;    ///< of one policy
inline constexpr std::size_t posture_tests_max = 20;     ///< of one rule
inline constexpr std::size_t resources_max = 1000;
inline constexpr base::Microseconds mfa_within_min{std::chrono::seconds{1}};
inline constexpr base::Microseconds mfa_within_max{std::chrono::hours{24 * 366}};

/// At most 200 bytes of UTF-8 without control characters (C0, DEL, C1, line and paragraph separators).
base::Result<void> check_text(std::string_view field, std::string_view value);
base::Result<void> check_device(const DeviceClaims& device);

/// Brings an account into canonical form (username lower-case, groups sorted and unique) and checks everything but id
/// and times.
base::Result<void> canonicalize(Account& account);
/// As above for groups alone.
base::Result<void> canonicalize_groups(std::vector<std::string>& groups);

/// Checks an app or policy for itself; usernames in rules become canonical. That the apps of a policy exist, and that
/// no two apps claim the same destination, is the directory's to check.
base::Result<void> canonicalize(App& app);
base::Result<void> canonicalize(Policy& policy);
/// Checks a department for itself. That it lies in a tree is the directory's to check.
base::Result<void> canonicalize(Department& department);

/// Whether a canonical host name is "usher.internal" or below it: the gateway's own.
bool is_reserved_host(std::string_view host) noexcept;

/// The words in which roles and states are stored and shown.
std::string_view to_word(Role role) noexcept;
std::string_view to_word(AccountStatus status) noexcept;
std::optional<Role> role_from_word(std::string_view word) noexcept;
std::optional<AccountStatus> status_from_word(std::string_view word) noexcept;

}  // namespace usher::auth
