#include "clients/usher/up/request_body.hpp"

#include <algorithm>

#include "catch.hpp"

using namespace usher::clients::agent;

namespace {

struct Outcome {
    std::size_t taken = 0;
    bool over = false, malformed = false;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(const BodyFraming& framing, std::string_view bytes, std::size_t piece) {
    RequestBody body(framing);
    Outcome outcome;
    while (outcome.taken < bytes.size()) {
        const auto part = bytes.substr(outcome.taken, piece);
        const auto n = body.take(part);
        outcome.taken += n;
        if (n < part.size()) break;
    }
    outcome.over = body.over();
    outcome.malformed = body.malformed();
    return outcome;
}

Outcome run(const BodyFraming& framing, const std::string& bytes) {
    const auto whole = run(framing, bytes, std::max<std::size_t>(bytes.size(), 1));
    for (std::size_t piece = 1; piece < bytes.size(); ++piece) CHECK(run(framing, bytes, piece) == whole);
    return whole;
}

constexpr BodyFraming chunked{BodyFraming::Kind::chunked, 0};

}  // namespace

TEST_CASE("a body with a length ends there, whatever comes behind it") {
    CHECK(run({BodyFraming::Kind::none, 0}, "GET http://evil/") == Outcome{0, true, false});
    CHECK(run({BodyFraming::Kind::length, 0}, "x") == Outcome{0, true, false});
    CHECK(run({BodyFraming::Kind::length, 5}, "12345GET") == Outcome{5, true, false});
    CHECK(run({BodyFraming::Kind::length, 5}, "1234") == Outcome{4, false, false});
}

TEST_CASE("a chunked body ends behind its last chunk and its trailers") {
    const std::string body = "5\r\nhello\r\nA;ext=1\r\n0123456789\r\n0\r\n\r\n";
    CHECK(run(chunked, body + "GET http://evil/") == Outcome{body.size(), true, false});
    const std::string trailers = "1\r\nx\r\n000\r\nExpires: never\r\nA: b\r\n\r\n";
    CHECK(run(chunked, trailers + "more") == Outcome{trailers.size(), true, false});
    CHECK(run(chunked, "5\r\nhel") == Outcome{6, false, false});
}

TEST_CASE("a chunked body that could be read in two ways is malformed") {
    for (const char* bytes : {"x\r\n", "\r\n", "-1\r\n", "+1\r\n", "0x3\r\n", " 3\r\n", "3 \r\n", "3\n", "3\rx",
                              "1\r\nxx\r\n", "1\r\nx\n", "1;a\nb\r\n", "1234567890abcdef\r\n", "0\r\na\n\r\n"}) {
        INFO(bytes);
        CHECK(run(chunked, bytes).malformed);
    }
    CHECK(run(chunked, "1;" + std::string(300, 'e')).malformed);
    CHECK(run(chunked, "0\r\n" + std::string(9000, 't')).malformed);
}
