#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace usher::base {

/// One character read from UTF-8. `length` is how many bytes it took, 0 where they are not well-formed (RFC 3629).
struct Utf8Character {
    char32_t code = 0;
    std::size_t length = 0;
};

/// The character that begins at `text[at]`, which must exist. Pure; allocates nothing.
constexpr Utf8Character decode_utf8(std::string_view text, std::size_t at) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint8_t first = byte(at);
    if (first < 0x80) return {first, 1};
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() - at < length) return {};
    char32_t code = first & (0x7fU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        const std::uint8_t next = byte(at + i);
        if ((next & 0xc0) != 0x80) return {};
        code = (code << 6) | (next & 0x3fU);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    if (overlong || surrogate || code > 0x10ffff) return {};
    return {code, length};
}

/// The last place up to `at`, which is before the text's end, where a character begins: a text that is cut there ends
/// with a whole one.
constexpr std::size_t utf8_cut(std::string_view text, std::size_t at) noexcept {
    while (at > 0 && (static_cast<std::uint8_t>(text[at]) & 0xc0) == 0x80) --at;
    return at;
}

}  // namespace usher::base
