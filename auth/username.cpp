#include "auth/username.hpp"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uspoof.h>
#include <unicode/ustring.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace usher::auth {
namespace {

bool is_ascii(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_plain(char32_t c) noexcept { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

void require(UErrorCode error, const char* what) {
    if (U_FAILURE(error)) throw std::runtime_error(std::string("ICU cannot ") + what + ": " + u_errorName(error));
}

/// Never freed: it is the same for all of the process's life. Reading it is thread-safe.
const USpoofChecker* spoof_checker() {
    static const USpoofChecker* const checker = [] {
        UErrorCode error = U_ZERO_ERROR;
        USpoofChecker* made = uspoof_open(&error);
        require(error, "look for confusable names");
        uspoof_setRestrictionLevel(made, USPOOF_HIGHLY_RESTRICTIVE);
        uspoof_setChecks(made, USPOOF_RESTRICTION_LEVEL | USPOOF_INVISIBLE | USPOOF_MIXED_NUMBERS, &error);
        require(error, "look for confusable names");
        return made;
    }();
    return checker;
}

/// NFKC_Casefold of well-formed UTF-8 of at most 200 bytes; nullopt where that grows past what a username may have.
std::optional<std::string> folded(std::string_view text) {
    // A code point becomes at most 18 (U+FDFA), which is too long here and need not be held.
    std::array<UChar, username_bytes_max + 1> from{}, to{};
    UErrorCode error = U_ZERO_ERROR;
    std::int32_t length = 0;
    u_strFromUTF8(from.data(), from.size(), &length, text.data(), static_cast<std::int32_t>(text.size()), &error);
    require(error, "read UTF-8");
    const auto* form = unorm2_getNFKCCasefoldInstance(&error);
    require(error, "fold case");
    length = unorm2_normalize(form, from.data(), length, to.data(), to.size(), &error);
    if (error == U_BUFFER_OVERFLOW_ERROR) return std::nullopt;
    require(error, "fold case");
    std::array<char, username_bytes_max> out{};
    u_strToUTF8(out.data(), out.size(), &length, to.data(), length, &error);
    if (error == U_BUFFER_OVERFLOW_ERROR) return std::nullopt;
    require(error, "write UTF-8");
    return std::string(out.data(), static_cast<std::size_t>(length));
}

bool may_begin(char32_t c) noexcept {
    if (c < 0x80) return is_plain(c);
    constexpr auto allowed = U_GC_L_MASK | U_GC_ND_MASK;
    return (U_MASK(u_charType(static_cast<UChar32>(c))) & allowed) != 0;
}

bool may_follow(char32_t c) noexcept {
    if (c < 0x80) return is_plain(c) || c == '.' || c == '_' || c == '-';
    constexpr auto allowed = U_GC_L_MASK | U_GC_ND_MASK | U_GC_MN_MASK | U_GC_MC_MASK;
    return (U_MASK(u_charType(static_cast<UChar32>(c))) & allowed) != 0;
}

/// The rules for characters and length, of well-formed UTF-8.
bool is_name(std::string_view text) noexcept {
    std::size_t count = 0;
    for (std::size_t at = 0; at < text.size(); ++count) {
        const auto c = base::decode_utf8(text, at);
        if (!(count == 0 ? may_begin(c.code) : may_follow(c.code))) return false;
        at += c.length;
    }
    return count >= 1 && count <= username_code_points_max;
}

bool is_one_script(std::string_view text) {
    UErrorCode error = U_ZERO_ERROR;
    const auto failed =
        uspoof_check2UTF8(spoof_checker(), text.data(), static_cast<std::int32_t>(text.size()), nullptr, &error);
    require(error, "look for confusable names");
    return failed == 0;
}

std::string skeleton(std::string_view text) {
    // One code point's skeleton has a bound of some twenty; a name that passes it is compared by its beginning.
    std::array<char, 16 * username_bytes_max> out{};
    UErrorCode error = U_ZERO_ERROR;
    auto length = uspoof_getSkeletonUTF8(spoof_checker(), 0, text.data(), static_cast<std::int32_t>(text.size()),
                                         out.data(), out.size(), &error);
    if (error == U_BUFFER_OVERFLOW_ERROR) {
        error = U_ZERO_ERROR;
        length = static_cast<std::int32_t>(out.size());
    }
    require(error, "look for confusable names");
    return {out.data(), static_cast<std::size_t>(length)};
}

}  // namespace

std::optional<std::string> canonical_username(std::string_view typed) {
    if (typed.empty() || typed.size() > username_bytes_max) return std::nullopt;
    if (is_ascii(typed)) {
        auto lower = base::to_lower(typed);
        if (!is_name(lower)) return std::nullopt;
        return lower;
    }
    // Folding would take away what nobody sees; who has it in a name did not type it.
    if (!base::is_utf8(typed) || base::escape_for_terminal(typed) != typed) return std::nullopt;
    auto name = folded(typed);
    if (!name || !is_name(*name)) return std::nullopt;
    if (!is_ascii(*name) && !is_one_script(*name)) return std::nullopt;
    return name;
}

void UsernameLooks::add(std::string_view username) {
    if (is_ascii(username))
        unseen_.push_back(username);
    else
        others_.emplace(skeleton(username), username);
}

std::optional<std::string_view> UsernameLooks::alike(std::string_view username) {
    const bool ascii = is_ascii(username);
    if (ascii && others_.empty()) return std::nullopt;
    const auto looks = skeleton(username);
    if (const auto found = others_.find(looks); found != others_.end() && found->second != username)
        return found->second;
    if (ascii) return std::nullopt;
    for (const auto name : unseen_) ascii_.emplace(skeleton(name), name);
    unseen_.clear();
    if (const auto found = ascii_.find(looks); found != ascii_.end()) return found->second;
    return std::nullopt;
}

}  // namespace usher::auth
