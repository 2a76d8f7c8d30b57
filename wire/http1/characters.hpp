#pragma once
#include <algorithm>
#include <string_view>

namespace usher::wire::http1 {

// The character classes of RFC 9110 §5.6, for bytes; nothing here knows a locale.

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
constexpr bool is_alpha(char c) noexcept { return is_upper(c) || (c >= 'a' && c <= 'z'); }
constexpr char to_lower(char c) noexcept { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }
/// VCHAR: visible ASCII.
constexpr bool is_visible(char c) noexcept { return c > 0x20 && c < 0x7f; }
/// OWS of RFC 9110 §5.6.3.
constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }
/// tchar of RFC 9110 §5.6.2.
constexpr bool is_token(char c) noexcept {
    return is_alpha(c) || is_digit(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

constexpr std::string_view trim_blanks(std::string_view text) noexcept {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

/// Compares without regard to ASCII case; `lower` is in lower case already.
constexpr bool equals_lower(std::string_view text, std::string_view lower) noexcept {
    return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                      [](char a, char b) { return to_lower(a) == b; });
}

}  // namespace usher::wire::http1
