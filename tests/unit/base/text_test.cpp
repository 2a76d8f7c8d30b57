#include "base/text.hpp"

#include <limits>

#include "catch.hpp"

using namespace usher::base;
using namespace std::string_literals;

namespace {
std::span<const std::uint8_t> bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
}  // namespace

TEST_CASE("hexadecimal goes there and back, and nothing else is read") {
    CHECK(to_hex(bytes_of("\x00\xff\x1a"s)) == "00ff1a");
    CHECK(from_hex("00FF1a") == std::vector<std::uint8_t>{0, 0xff, 0x1a});
    CHECK(from_hex("")->empty());
    for (const char* bad : {"0", "0g", " 00", "00 ", "0x00", "00:11"}) CHECK_FALSE(from_hex(bad));
}

TEST_CASE("Base64 gives the vectors of RFC 4648 and reads them strictly") {
    const std::pair<const char*, const char*> vectors[] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, encoded] : vectors) {
        CHECK(base64_encode(bytes_of(plain)) == encoded);
        CHECK(base64_decode(encoded) == plain);
    }
    for (const char* bad :
         {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z", "Zg==\n", " Zg==", "Zm 9v", "Zm9v-_==", "====", "Zg==Zg=="})
        CHECK_FALSE(base64_decode(bad));
    CHECK(base64_encode(bytes_of("\xfb\xff")) == "+/8=");
    CHECK(base64url_encode(bytes_of("\xfb\xff")) == "-_8");
    CHECK(base64url_decode("-_8") == std::vector<std::uint8_t>{0xfb, 0xff});
    for (const char* bad : {"-_8=", "+/8", "-_9", "-_8 ", "A"}) CHECK_FALSE(base64url_decode(bad));
}

TEST_CASE("no byte beyond its alphabet is a base64 digit") {
    const std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const bool digit = alphabet.find(c) != std::string_view::npos;
        INFO(byte);
        CHECK(base64_decode(std::string("AA") + c + "A").has_value() == (digit || c == '+' || c == '/'));
        CHECK(base64url_decode(std::string("AA") + c + "A").has_value() == (digit || c == '-' || c == '_'));
    }
}

TEST_CASE("lower case touches ASCII letters only") { CHECK(to_lower("AZaz[@\xc3\x84") == "azaz[@\xc3\x84"); }

TEST_CASE("UTF-8 is what RFC 3629 says") {
    for (const std::string& good :
         {""s, "a\0b"s, "\xc3\xa4"s, "\xe2\x82\xac"s, "\xed\x9f\xbf"s, "\xf0\x9f\x8e\xad"s, "\xf4\x8f\xbf\xbf"s})
        CHECK(is_utf8(good));
    for (const char* bad :
         {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x8e", "\xc3\x28"})
        CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("what goes to a terminal cannot act on it") {
    CHECK(escape_for_terminal("Zo\xc3\xab's caf\xc3\xa9 \xf0\x9f\x8e\xad") ==
          "Zo\xc3\xab's caf\xc3\xa9 \xf0\x9f\x8e\xad");
    CHECK(escape_for_terminal("\x1b[2J\r\n\t\x07\x7f\0"s) == "\\x1b[2J\\x0d\\x0a\\x09\\x07\\x7f\\x00");
    CHECK(escape_for_terminal("a\\x1b") == "a\\x5cx1b");
    CHECK(escape_for_terminal("\xc2\x9b"
                              "31m") == "\\u{009b}31m");
    CHECK(escape_for_terminal("\x9b\xff\xc3") == "\\x9b\\xff\\xc3");
    CHECK(escape_for_terminal("\xe2\x80\xae"
                              "gpj.exe") == "\\u{202e}gpj.exe");
    CHECK(escape_for_terminal("\xe2\x80\xa8\xe2\x81\xa6\xe2\x80\x8b\xd8\x9c\xef\xbb\xbf") ==
          "\\u{2028}\\u{2066}\\u{200b}\\u{061c}\\u{feff}");
    CHECK(escape_for_terminal("\xee\x80\x80\xf3\xa0\x80\x81") == "\\u{e000}\\u{e0001}");
}

TEST_CASE("escaped text is cut between characters and keeps its bound") {
    CHECK(escape_for_terminal("abcdef", 6) == "abcdef");
    CHECK(escape_for_terminal("abcdefg", 6) == "abc...");
    CHECK(escape_for_terminal("ab\xe2\x82\xac"
                              "cdef",
                              7) == "ab...");
    CHECK(escape_for_terminal("\x01\x02\x03", 8) == "\\x01...");
    for (std::size_t limit = 0; limit < 12; ++limit) {
        CHECK(escape_for_terminal("\xe2\x82\xac\x01 abc def ghi", limit).size() <= limit);
        CHECK(is_utf8(escape_for_terminal("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", limit)));
    }
}

TEST_CASE("no byte or pair of bytes leaves an escape sequence or a line end") {
    for (int a = 0; a < 256; ++a)
        for (int b = 0; b < 256; ++b) {
            const std::string text{static_cast<char>(a), static_cast<char>(b)};
            for (const std::string& out : {escape_for_terminal(text), json_quote(text)}) {
                bool safe = is_utf8(out);
                for (const char c : out) safe = safe && static_cast<unsigned char>(c) >= 0x20 && c != '\x7f';
                if (!safe) FAIL("bytes " << a << " " << b);
            }
        }
}

TEST_CASE("JSON strings are quoted whole") {
    CHECK(json_quote("") == "\"\"");
    CHECK(json_quote("a\"b\\c/\n\r\t\x01\x7f\0"s) == "\"a\\\"b\\\\c/\\n\\r\\t\\u0001\\u007f\\u0000\"");
    CHECK(json_quote("\xc3\xa9\xff") == "\"\xc3\xa9\xef\xbf\xbd\"");
    CHECK(json_quote("\xe2\x80\xa8\xf3\xa0\x80\x81") == "\"\\u2028\\udb40\\udc01\"");
}

TEST_CASE("times are written and read as RFC 3339") {
    const UtcTime time = from_micros(1'795'429'230'123'456);
    CHECK(format_rfc3339(time) == "2026-11-23T10:20:30.123456Z");
    CHECK(parse_rfc3339("2026-11-23T10:20:30.123456Z") == time);
    CHECK(parse_rfc3339("2026-11-23T10:20:30.123456999Z") == time);
    CHECK(parse_rfc3339("2026-11-23T10:20:30Z") == from_micros(1'795'429'230'000'000));
    CHECK(parse_rfc3339("2026-11-23T10:20:30.5Z") == from_micros(1'795'429'230'500'000));
    CHECK(format_rfc3339(from_micros(-1)) == "1969-12-31T23:59:59.999999Z");
    CHECK(parse_rfc3339("1969-12-31T23:59:59.999999Z") == from_micros(-1));
    CHECK(parse_rfc3339("2024-02-29T00:00:00Z"));
    CHECK(format_rfc3339(from_micros(std::numeric_limits<std::int64_t>::max())) == "9999-12-31T23:59:59.999999Z");
    CHECK(format_rfc3339(from_micros(std::numeric_limits<std::int64_t>::min())) == "0000-01-01T00:00:00.000000Z");
    for (const char* bad : {"",
                            "Z",
                            "2026-11-23",
                            "2026-11-23T10:20Z",
                            "2026-11-23 10:20:30Z",
                            "2026-11-23T10:20:30",
                            "2026-11-23T10:20:30z",
                            "2026-11-23t10:20:30Z",
                            "2026-11-23T10:20:30+00:00",
                            "2026-11-23T10:20:30.Z",
                            "2026-11-23T10:20:30.1234567890Z",
                            "2026-11-23T10:20:30,5Z",
                            "2026-02-29T00:00:00Z",
                            "2026-13-01T00:00:00Z",
                            "2026-00-01T00:00:00Z",
                            "2026-01-00T00:00:00Z",
                            "2026-11-23T24:00:00Z",
                            "2026-11-23T10:60:30Z",
                            "2026-11-23T10:20:60Z",
                            "26-11-23T10:20:30Z",
                            "+026-11-23T10:20:30Z",
                            "2026-1-23T10:20:30Z",
                            "2026-11-23T10:20:30.-1Z"})
        CHECK_FALSE(parse_rfc3339(bad));
}

TEST_CASE("durations are one number and one unit") {
    using namespace std::chrono_literals;
    const std::pair<const char*, Microseconds> same[] = {
        {"250us", 250us}, {"1500ms", 1500ms}, {"90s", 90s}, {"15m", 15min}, {"1h", 1h}, {"7d", 168h}, {"25h", 25h}};
    for (const auto& [text, value] : same) {
        CHECK(parse_duration(text) == value);
        CHECK(format_duration(value) == text);
    }
    CHECK(format_duration(60s) == "1m");
    CHECK(format_duration(0s) == "0s");
    CHECK(format_duration(-90s) == "-90s");
    CHECK(parse_duration("60s") == Microseconds{60s});
    for (const char* bad : {"", "1", "s", "0s", "-1s", "+1s", "1.5s", "1 s", " 1s", "1s ", "01s", "1m30s", "1S", "1w",
                            "1min", "9223372036854775807s", "18446744073709551617us", "106751992d"})
        CHECK_FALSE(parse_duration(bad));
    CHECK(parse_duration("106751991d"));
}

TEST_CASE("sizes are bytes or a binary multiple") {
    CHECK(parse_byte_size("0") == 0);
    CHECK(parse_byte_size("1500") == 1500);
    CHECK(parse_byte_size("64KiB") == 65536);
    CHECK(parse_byte_size("16MiB") == 16777216);
    CHECK(parse_byte_size("1GiB") == 1073741824);
    CHECK(parse_byte_size("17179869183GiB") == 17179869183ULL << 30);
    for (const char* bad :
         {"", "KiB", "64KB", "64K", "64kib", "64 KiB", "-1", "1.5GiB", "017", "17179869184GiB", "18446744073709551616"})
        CHECK_FALSE(parse_byte_size(bad));
}

TEST_CASE("a text without its blanks") {
    CHECK(trimmed("  a b ") == "a b");
    CHECK(trimmed("\ta ", " \t") == "a");
    CHECK(trimmed("\ta") == "\ta");
    CHECK(trimmed("   ").empty());
    CHECK(trimmed("").empty());
}

TEST_CASE("a text is taken part by part, whether or not a separator ends it") {
    std::string_view text = "a,,b";
    CHECK(take_until(text, ',') == "a");
    CHECK(take_until(text, ',').empty());
    CHECK(text == "b");
    CHECK(take_until(text, ',') == "b");
    CHECK(text.empty());
    CHECK(take_until(text, ',').empty());
    text = "a,";
    CHECK(take_until(text, ',') == "a");
    CHECK(text.empty());
}

TEST_CASE("a near miss finds the known word") {
    const std::string_view known[] = {"listen", "metrics", "data_dir", "tls"};
    CHECK(closest("listenn", known) == "listen");
    CHECK(closest("lisetn", known) == "listen");
    CHECK(closest("datadir", known) == "data_dir");
    CHECK(closest("tl", known) == "tls");
    CHECK_FALSE(closest("lists", std::span(known, 0)));
    CHECK_FALSE(closest("workers", known));
    CHECK_FALSE(closest("", known));
    CHECK_FALSE(closest("xy", known));
    CHECK_FALSE(closest(std::string(100'000, 'a'), known));
}

TEST_CASE("unsigned numbers have one spelling and a bound") {
    constexpr auto max = std::numeric_limits<std::uint64_t>::max();
    CHECK(parse_unsigned("0", 0) == 0);
    CHECK(parse_unsigned("65535", 65535) == 65535);
    CHECK(parse_unsigned("18446744073709551615", max) == max);
    for (const char* bad : {"", "65536", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "1e3", "99999999999999999999999"})
        CHECK_FALSE(parse_unsigned(bad, 65535));
    CHECK_FALSE(parse_unsigned("18446744073709551616", max));
    CHECK_FALSE(parse_unsigned("1", 0));
    CHECK_FALSE(parse_unsigned("9", 8));
}
