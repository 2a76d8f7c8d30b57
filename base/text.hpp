#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace usher::base {

std::string to_hex(std::span<const std::uint8_t> bytes);
std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text);

/// Base64 of RFC 4648 §4 with padding; decoding is strict (no white space, right padding, no stray bits).
std::string base64_encode(std::span<const std::uint8_t> bytes);
std::optional<std::string> base64_decode(std::string_view text);
/// The URL-safe alphabet of RFC 4648 §5, no padding; for tokens.
std::string base64url_encode(std::span<const std::uint8_t> bytes);
std::optional<std::vector<std::uint8_t>> base64url_decode(std::string_view text);

/// ASCII lower case; other bytes stay.
std::string to_lower(std::string_view text);
/// Whether `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates).
bool is_utf8(std::string_view text) noexcept;

/// `text` made safe to print on a terminal: printable ASCII and well-formed UTF-8 stay; C0, DEL, C1, bidirectional
/// controls (U+202A-202E, U+2066-2069, U+200E-200F, U+061C), U+2028/2029, zero-width and private-use characters, the
/// backslash and bytes that are not UTF-8 become \xNN or \u{NNNN}. At most `limit` bytes come out; a cut is shown as
/// "...".
std::string escape_for_terminal(std::string_view text, std::size_t limit = 4096);
/// A JSON string literal with its quotes. Bytes that are not UTF-8 become U+FFFD; what escape_for_terminal() finds
/// unsafe is written \uNNNN, so that the line may also be looked at.
std::string json_quote(std::string_view text);

/// "2026-11-23T10:20:30.123456Z" (RFC 3339, always six decimals) and back. Times outside of the years 0 to 9999 are
/// shown as the first or last of them. Parsing takes 0 to 9 decimals (rounded down) and only "Z".
std::string format_rfc3339(UtcTime time);
std::optional<UtcTime> parse_rfc3339(std::string_view text);
/// "250us", "1500ms", "90s", "15m", "1h", "7d": a positive whole number and one unit. Nullopt for anything else or
/// overflow.
std::optional<Microseconds> parse_duration(std::string_view text);
/// The shortest exact form that parse_duration reads ("90s", not "1m30s"); "0s" and negative ones are for people only.
std::string format_duration(Microseconds duration);
/// "64KiB", "16MiB", "1GiB" or a plain number of bytes.
std::optional<std::uint64_t> parse_byte_size(std::string_view text);

/// `text` without what it has of `blanks` at either end.
std::string_view trimmed(std::string_view text, std::string_view blanks = " ") noexcept;
/// Takes what comes before the next `separator`, and that one too, off the front of `text`: all of it where there is
/// none.
std::string_view take_until(std::string_view& text, char separator) noexcept;

/// The known word closest to `word` (edit distance at most 2 and less than its length), for "did you mean".
std::optional<std::string_view> closest(std::string_view word, std::span<const std::string_view> known);

/// A decimal number without sign, leading zeros or spaces, within [0, max]; nullopt else.
std::optional<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t max) noexcept;

}  // namespace usher::base
