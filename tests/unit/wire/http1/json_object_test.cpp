#include "wire/http1/json_object.hpp"

#include <string>

#include "catch.hpp"

using namespace std::string_literals;
using usher::base::Errc;
using usher::wire::http1::parse_json_object;

TEST_CASE("a sign-in is read and its password taken out") {
    auto parsed = parse_json_object(
        " { \"username\" : \"alice\", \"password\":\"p\\u00e4\\n\\\"\\ud83d\\ude00\","
        "\"device\":{\"name\":\"laptop\",\"os\":\"\"} } \r\n");
    REQUIRE(parsed);
    CHECK(*parsed->member("username") == "alice");
    CHECK(parsed->member("absent") == nullptr);
    CHECK(parsed->member("device") == nullptr);
    CHECK(parsed->objects.at("device").at("name") == "laptop");
    CHECK(parsed->objects.at("device").at("os").empty());
    CHECK(parsed->take_secret("password").reveal() == "p\xc3\xa4\n\"\xf0\x9f\x98\x80");
    CHECK(parsed->member("password") == nullptr);
    CHECK(parsed->take_secret("password").empty());
    CHECK(parse_json_object("{}"));
    CHECK(parse_json_object("{\"a\":{}}"));
}

TEST_CASE("anything but an object of strings is refused") {
    for (const auto& text : {""s,
                             " "s,
                             "{"s,
                             "}"s,
                             "\"a\""s,
                             "1"s,
                             "null"s,
                             "true"s,
                             "[]"s,
                             "{\"a\":1}"s,
                             "{\"a\":-1}"s,
                             "{\"a\":1.5}"s,
                             "{\"a\":18446744073709551615}"s,
                             "{\"a\":true}"s,
                             "{\"a\":null}"s,
                             "{\"a\":[]}"s,
                             "{\"a\":[\"b\"]}"s,
                             "{\"a\":{\"b\":{}}}"s,
                             "{\"a\":{\"b\":{\"c\":\"d\"}}}"s,
                             "{\"a\":{\"b\":1}}"s,
                             "{\"a\":\"b\",}"s,
                             "{a:\"b\"}"s,
                             "{'a':'b'}"s,
                             "{\"a\" \"b\"}"s,
                             "{\"a\":\"b\"}x"s,
                             "{\"a\":\"b\"}{}"s,
                             "{\"a\":\"b\"}\0"s,
                             "/**/{\"a\":\"b\"}"s,
                             "{\"a\":\"b\"}//"s,
                             "\xef\xbb\xbf{}"s,
                             "{\"a\":\"\n\"}"s,
                             "{\"a\":\"\0\"}"s,
                             "{\"a\":\"\\x\"}"s,
                             "{\"a\":\"\\ud800\"}"s,
                             "{\"a\":\"\\udc00\"}"s,
                             "{\"a\":\"\\ud800x\"}"s}) {
        INFO(text);
        const auto parsed = parse_json_object(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == Errc::invalid_argument);
    }
}

TEST_CASE("a key that stands twice is refused, however it is spelled") {
    for (const char* text : {"{\"a\":\"1\",\"a\":\"1\"}", "{\"a\":\"1\",\"\\u0061\":\"2\"}", "{\"a\":{},\"a\":{}}",
                             "{\"a\":{},\"a\":\"1\"}", "{\"a\":\"1\",\"a\":{}}", "{\"a\":{\"b\":\"1\",\"b\":\"1\"}}"}) {
        INFO(text);
        const auto parsed = parse_json_object(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message == "a key stands twice");
    }
    CHECK(parse_json_object("{\"a\":\"1\",\"A\":\"1\",\"b\":{\"a\":\"1\"},\"c\":{\"a\":\"1\"}}"));
}

TEST_CASE("text that is not UTF-8 is refused") {
    for (const char* bytes : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", "\x80"}) {
        CHECK_FALSE(parse_json_object("{\"a\":\""s + bytes + "\"}"));
        CHECK_FALSE(parse_json_object("{\""s + bytes + "\":\"a\"}"));
    }
}

TEST_CASE("an object is bounded in every direction") {
    const auto of = [](int members) {
        std::string text = "{";
        for (int i = 0; i < members; ++i) text += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":\"v\"";
        return text + "}";
    };
    CHECK(parse_json_object(of(64)));
    CHECK_FALSE(parse_json_object(of(65)));
    CHECK(parse_json_object("{\"" + std::string(64, 'k') + "\":\"\"}"));
    CHECK_FALSE(parse_json_object("{\"" + std::string(65, 'k') + "\":\"\"}"));
    CHECK(parse_json_object("{\"k\":\"" + std::string(8'184, 'v') + "\"}"));
    CHECK_FALSE(parse_json_object("{\"k\":\"" + std::string(8'185, 'v') + "\"}"));
    CHECK_FALSE(parse_json_object(std::string(8'000, '[')));
    CHECK_FALSE(parse_json_object(std::string(1 << 20, '{')));
}
