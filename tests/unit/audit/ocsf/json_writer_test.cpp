#include "audit/ocsf/json_writer.hpp"

#include "base/text.hpp"
#include "catch.hpp"

using usher::audit::ocsf::JsonWriter;

TEST_CASE("a JSON object is written member by member") {
    JsonWriter json;
    json.number("a", 1);
    json.begin("b");
    json.text("c", "x");
    json.text("left out", "");
    json.boolean("d", true);
    json.end();
    json.begin_array("e");
    json.text_element("f");
    json.begin_element();
    json.number("g", std::uint64_t{18446744073709551615U});
    json.end();
    json.begin_element();
    json.end();
    json.end_array();
    json.number("h", std::int64_t{-5});
    CHECK_FALSE(json.cut());
    CHECK(std::move(json).finish() ==
          R"({"a":1,"b":{"c":"x","d":true},"e":["f",{"g":18446744073709551615},{}],"h":-5})");
}

TEST_CASE("no text breaks out of its quotes or out of UTF-8") {
    const auto written = [](std::string_view text) {
        JsonWriter json;
        json.text("k", text);
        return std::move(json).finish();
    };
    CHECK(written("\"},{\\") == R"({"k":"\"},{\\"})");
    CHECK(written("a\nb\x01\x7f") == R"({"k":"a\nb\u0001\u007f"})");
    CHECK(written("\xff\xc0\xafz") == "{\"k\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"}");
    CHECK(written("\xe2\x80\xa8") == R"({"k":"\u2028"})");
    CHECK(written(std::string_view("\0", 1)) == R"({"k":"\u0000"})");
}

TEST_CASE("a text is cut to its bound between characters, and says so") {
    const auto written = [](std::string_view text, std::size_t bytes_max, bool cut) {
        JsonWriter json;
        json.text("k", text, bytes_max);
        CHECK(json.cut() == cut);
        return std::move(json).finish();
    };
    CHECK(written("12345678", 8, false) == R"({"k":"12345678"})");
    CHECK(written("123456789", 8, true) == R"({"k":"12345..."})");
    CHECK(written("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 8, true) == "{\"k\":\"\xc3\xa4\xc3\xa4...\"}");
    // What counts is what comes out: an escaped character is longer.
    CHECK(written("\x01\x01\x01", 10, true) == R"({"k":"\u0001..."})");
    CHECK(written("\x01\x01", 12, false) == R"({"k":"\u0001\u0001"})");
    const std::string hostile(100'000, '\xff');
    const std::string out = written(hostile, 256, true);
    CHECK(out.size() <= 256 + 8);
    CHECK(usher::base::is_utf8(out));
}

TEST_CASE("where asked for, only ASCII comes out, and the bound counts that") {
    JsonWriter json(usher::audit::ocsf::Charset::ascii);
    json.text("a", "\xc3\xa4 \xf0\x9f\x99\x82 \xff");
    json.text("b", "\xc3\xa4\xc3\xa4", 10);
    CHECK(std::move(json).finish() == R"({"a":"\u00e4 \ud83d\ude42 \ufffd","b":"\u00e4..."})");
}
