#include "base/text.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "base/utf8.hpp"

namespace usher::base {
namespace {

std::string encode64(std::span<const std::uint8_t> bytes, int variant) {
    std::string out(sodium_base64_encoded_len(bytes.size(), variant), '\0');
    sodium_bin2base64(out.data(), out.size(), bytes.data(), bytes.size(), variant);
    out.pop_back();  // its terminating NUL
    return out;
}

template <class Bytes>
std::optional<Bytes> decode64(std::string_view text, int variant) {
    // libsodium 1.0.18 takes some bytes beyond ASCII for digits where char is signed, so that a text had many
    // spellings.
    const bool ascii =
        std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (!ascii) return std::nullopt;
    Bytes out(text.size() / 4 * 3 + 3, typename Bytes::value_type{});
    std::size_t size = 0;
    const int status = sodium_base642bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), text.data(),
                                         text.size(), nullptr, &size, nullptr, variant);
    if (status != 0) return std::nullopt;
    out.resize(size);
    return out;
}

}  // namespace

std::string to_hex(std::span<const std::uint8_t> bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const std::uint8_t byte : bytes) {
        out += digits[byte >> 4];
        out += digits[byte & 0xf];
    }
    return out;
}

std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text) {
    std::vector<std::uint8_t> out(text.size() / 2);
    std::size_t size = 0;
    if (text.size() % 2 != 0) return std::nullopt;
    if (text.empty()) return out;
    if (sodium_hex2bin(out.data(), out.size(), text.data(), text.size(), nullptr, &size, nullptr) != 0)
        return std::nullopt;
    return out;
}

std::string base64_encode(std::span<const std::uint8_t> bytes) {
    return encode64(bytes, sodium_base64_VARIANT_ORIGINAL);
}

std::optional<std::string> base64_decode(std::string_view text) {
    return decode64<std::string>(text, sodium_base64_VARIANT_ORIGINAL);
}

std::string base64url_encode(std::span<const std::uint8_t> bytes) {
    return encode64(bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

std::optional<std::vector<std::uint8_t>> base64url_decode(std::string_view text) {
    return decode64<std::vector<std::uint8_t>>(text, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

std::string to_lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

bool is_utf8(std::string_view text) noexcept {
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = decode_utf8(text, at).length;
        if (length == 0) return false;
        at += length;
    }
    return true;
}

std::string_view trimmed(std::string_view text, std::string_view blanks) noexcept {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
}

std::string_view take_until(std::string_view& text, char separator) noexcept {
    const auto end = std::min(text.find(separator), text.size());
    const auto part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
}

std::optional<std::string_view> closest(std::string_view word, std::span<const std::string_view> known) {
    constexpr std::size_t longest = 64;  // keys and commands are short; longer input is no slip of the pen
    if (word.size() > longest) return std::nullopt;
    std::optional<std::string_view> best;
    std::size_t best_distance = std::min<std::size_t>(3, word.size());
    for (const std::string_view candidate : known) {
        if (candidate.size() > longest) continue;
        std::array<std::size_t, longest + 1> row;  // Levenshtein, one row at a time
        std::iota(row.begin(), row.end(), std::size_t{0});
        for (std::size_t i = 1; i <= word.size(); ++i) {
            std::size_t diagonal = row[0];
            row[0] = i;
            for (std::size_t j = 1; j <= candidate.size(); ++j) {
                const std::size_t replaced = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
            }
        }
        if (row[candidate.size()] < best_distance) {
            best_distance = row[candidate.size()];
            best = candidate;
        }
    }
    return best;
}

std::optional<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t max) noexcept {
    if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (value > (max - std::min(max, digit)) / 10) return std::nullopt;
        value = value * 10 + digit;
    }
    return value <= max ? std::optional(value) : std::nullopt;
}

}  // namespace usher::base
