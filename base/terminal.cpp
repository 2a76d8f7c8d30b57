// Text that came from outside, made safe for people's terminals and for JSON.
#include <array>
#include <cstdio>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace usher::base {
namespace {

struct Range {
    char32_t first;
    char32_t last;
};

/// Characters outside of ASCII that act on the display instead of being seen on it, or look like nothing.
constexpr std::array kUnsafe{
    Range{0x0080, 0x009f},     // C1 controls
    Range{0x00ad, 0x00ad},     // soft hyphen
    Range{0x034f, 0x034f},     // combining grapheme joiner
    Range{0x061c, 0x061c},     // Arabic letter mark
    Range{0x115f, 0x1160},     // Hangul fillers
    Range{0x180b, 0x180f},     // Mongolian selectors and vowel separator
    Range{0x200b, 0x200f},     // zero width, left-to-right and right-to-left marks
    Range{0x2028, 0x202e},     // line and paragraph separator, bidirectional embeddings and overrides
    Range{0x2060, 0x206f},     // word joiner, invisible operators, bidirectional isolates, deprecated format characters
    Range{0x3164, 0x3164},     // Hangul filler
    Range{0xe000, 0xf8ff},     // private use
    Range{0xfe00, 0xfe0f},     // variation selectors
    Range{0xfeff, 0xfeff},     // byte order mark
    Range{0xffa0, 0xffa0},     // half-width Hangul filler
    Range{0xfff0, 0xfffb},     // interlinear annotation
    Range{0xfffe, 0xffff},     // noncharacters
    Range{0xe0000, 0x10ffff},  // tags, variation selectors, private use
};

bool is_unsafe(char32_t code) noexcept {
    if (code < 0x20 || code == 0x7f) return true;
    for (const Range& range : kUnsafe)
        if (code >= range.first && code <= range.last) return true;
    return false;
}

template <class... Args>
std::string print(const char* format, Args... args) {
    std::array<char, 24> buffer;
    const int size = std::snprintf(buffer.data(), buffer.size(), format, args...);
    return {buffer.data(), static_cast<std::size_t>(size)};
}

}  // namespace

std::string escape_for_terminal(std::string_view text, std::size_t limit) {
    static constexpr std::string_view cut_mark = "...";
    std::string out;
    std::size_t cut_at = 0;  // the last end of a character after which the mark still fits
    for (std::size_t at = 0; at < text.size();) {
        const Utf8Character c = decode_utf8(text, at);
        if (c.length == 0) {
            out += print("\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[at])));
        } else if (c.code < 0x80 && (is_unsafe(c.code) || c.code == U'\\')) {
            out += print("\\x%02x", static_cast<unsigned>(c.code));
        } else if (is_unsafe(c.code)) {
            out += print("\\u{%04x}", static_cast<unsigned>(c.code));
        } else {
            out += text.substr(at, c.length);
        }
        if (out.size() > limit) {
            if (limit < cut_mark.size()) return std::string(limit, '.');
            out.resize(cut_at);
            out += cut_mark;
            return out;
        }
        if (out.size() + cut_mark.size() <= limit) cut_at = out.size();
        at += c.length == 0 ? 1 : c.length;
    }
    return out;
}

std::string json_quote(std::string_view text) {
    std::string out;
    out.reserve(text.size() + 2);
    out += '"';
    for (std::size_t at = 0; at < text.size();) {
        const Utf8Character c = decode_utf8(text, at);
        at += c.length == 0 ? 1 : c.length;
        if (c.length == 0) {
            out += "\xef\xbf\xbd";
        } else if (c.code == U'"' || c.code == U'\\') {
            out += '\\';
            out += static_cast<char>(c.code);
        } else if (c.code == U'\n') {
            out += "\\n";
        } else if (c.code == U'\r') {
            out += "\\r";
        } else if (c.code == U'\t') {
            out += "\\t";
        } else if (is_unsafe(c.code)) {
            // Escaped too, so that JSON lines may be looked at on a terminal; it is the same string to a parser.
            if (c.code < 0x10000) {
                out += print("\\u%04x", static_cast<unsigned>(c.code));
            } else {
                const auto offset = static_cast<unsigned>(c.code) - 0x10000;
                out += print("\\u%04x\\u%04x", 0xd800 + (offset >> 10), 0xdc00 + (offset & 0x3ff));
            }
        } else {
            out += text.substr(at - c.length, c.length);
        }
    }
    out += '"';
    return out;
}

}  // namespace usher::base
