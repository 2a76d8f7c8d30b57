#include "clients/common/http_response.hpp"

#include "catch.hpp"
#include "clients/common/gateway_call.hpp"

using namespace usher::clients;

namespace {

bool accepted(std::string_view text, bool tunnel = false) {
    HttpResponseParser parser(tunnel);
    const auto fed = parser.feed(text);
    return fed.ok() && *fed;
}

bool refused(std::string_view text, bool tunnel = false) {
    HttpResponseParser parser(tunnel);
    return !parser.feed(text).ok();
}

}  // namespace

TEST_CASE("an answer that comes byte by byte is the answer that comes at once") {
    const std::string text = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    HttpResponseParser parser(false);
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto fed = parser.feed(std::string_view(text).substr(i, 1));
        REQUIRE(fed.ok());
        CHECK(*fed == (i + 1 == text.size()));
    }
    CHECK(parser.head().status == 201);
    CHECK(parser.head().field("content-type") == "application/json");
    CHECK(parser.body() == "{}");
    CHECK(parser.rest().empty());
}

TEST_CASE("what follows the success of a CONNECT belongs to the tunnel, whatever the fields say") {
    HttpResponseParser parser(true);
    const auto fed = parser.feed("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nSSH-2.0");
    REQUIRE(fed.ok());
    CHECK(*fed);
    CHECK(parser.body().empty());
    CHECK(parser.rest() == "SSH-2.0");
}

TEST_CASE("a refusal of a CONNECT has a body") {
    HttpResponseParser parser(true);
    const auto fed =
        parser.feed("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nno rule\n");
    REQUIRE(fed.ok());
    CHECK(*fed);
    CHECK(refusal_text(parser.head(), parser.body()) == "the gateway answered 403: no rule");
}

TEST_CASE("an answer without a length ends with the connection") {
    HttpResponseParser parser(false);
    const auto fed = parser.feed("HTTP/1.1 400 Bad Request\r\n\r\nwhy");
    REQUIRE(fed.ok());
    CHECK_FALSE(*fed);
    CHECK(parser.end().ok());
    CHECK(parser.body() == "why");
}

TEST_CASE("an answer that ends early is an error") {
    HttpResponseParser nothing(false);
    CHECK_FALSE(nothing.end().ok());
    HttpResponseParser head(false);
    REQUIRE(head.feed("HTTP/1.1 200").ok());
    CHECK_FALSE(head.end().ok());
    HttpResponseParser body(false);
    REQUIRE(body.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour").ok());
    CHECK_FALSE(body.end().ok());
}

TEST_CASE("204 has no body") { CHECK(accepted("HTTP/1.1 204 No Content\r\n\r\n")); }

TEST_CASE("what is no strict HTTP/1.1 is refused") {
    CHECK(refused("HTTP/1.0 200 OK\r\n\r\n"));
    CHECK(refused("HTTP/1.1 20 OK\r\n\r\n"));
    CHECK(refused("HTTP/1.1 +20 OK\r\n\r\n"));
    CHECK(refused("HTTP/1.1 100 Continue\r\n\r\n"));
    CHECK(refused("HTTP/1.1 600 No\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 O\x1bK\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\n: value\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\nname\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\nname : value\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\n folded: value\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n"));
    CHECK(refused("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n"));
}

TEST_CASE("head and body are bounded") {
    CHECK(refused("HTTP/1.1 200 OK\r\na: " + std::string(20'000, 'x')));
    HttpResponseParser parser(false);
    REQUIRE(parser.feed("HTTP/1.1 200 OK\r\n\r\n").ok());
    CHECK_FALSE(parser.feed(std::string(http_body_limit_bytes + 1, 'x')).ok());
}

TEST_CASE("the words of a refusal are escaped, and say when to try again") {
    HttpHead head;
    head.status = 429;
    head.fields = {{"content-type", "text/plain; charset=utf-8"}, {"retry-after", "7"}};
    CHECK(refusal_text(head, "slow \x1b[31mdown\nsecond line") ==
          "the gateway answered 429: slow \\x1b[31mdown; try again in 7 s");
    head.fields = {{"proxy-status", "usher; error=connection_refused"}};
    CHECK(refusal_text(head, "<html>") == "the gateway answered 429: usher; error=connection_refused");
    head.fields = {{"content-type", "application/json"}};
    CHECK(refusal_text(head, "{\"error\":\"body-missing\"}") == "the gateway answered 429: body-missing");
}
