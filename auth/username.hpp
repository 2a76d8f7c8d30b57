#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// Usernames: what may be one, and when two of them are the same. No I/O.
namespace usher::auth {

inline constexpr std::size_t username_code_points_max = 64;
inline constexpr std::size_t username_bytes_max = 200;  ///< of the canonical form

/// The canonical form of a username as typed: trimmed of nothing, NFKC and case folding (Unicode's NFKC_Casefold, the
/// comparison of RFC 8265's UsernameCaseMapped), so that full-width and upper-case letters are those that they mean.
/// nullopt when it cannot be one: not UTF-8, with characters that are not seen, other than letters, marks, decimal
/// digits, ".", "_" and "-", not begun by a letter or digit, longer than 64 code points or 200 bytes, or of mixed
/// scripts (Unicode UTS #39, "highly restrictive": Latin beside Han and kana, or beside Hangul or Bopomofo, is one
/// script here). Sign-in, throttle, policies and directory all use this one. Canonical again is the same; ASCII costs
/// no more than a copy. Thread-safe. Throws std::runtime_error where ICU has no data.
std::optional<std::string> canonical_username(std::string_view typed);

/// The looks of usernames (UTS #39's skeletons), to find one that could be taken for another. Two of ASCII never are:
/// who has "user1" may have "userl". Not thread-safe.
class UsernameLooks {
public:
    /// A canonical username, which must outlive this. Costs nothing where all names are ASCII.
    void add(std::string_view username);
    /// One of those added that looks like this canonical username and is another.
    std::optional<std::string_view> alike(std::string_view username);

private:
    std::vector<std::string_view> unseen_;                              ///< of ASCII, added and not in ascii_ yet
    std::unordered_map<std::string, std::string_view> ascii_, others_;  ///< by skeleton
};

}  // namespace usher::auth
