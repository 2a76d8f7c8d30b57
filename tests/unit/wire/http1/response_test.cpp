#include "wire/http1/response.hpp"

#include <stdexcept>

#include "catch.hpp"

using namespace usher::wire::http1;

TEST_CASE("a refusal says what is wrong, closes and is not stored") {
    CHECK(Response(407).proxy_challenge().no_store().close().text("sign in first").to_http1() ==
          "HTTP/1.1 407 Proxy Authentication Required\r\n"
          "proxy-authenticate: Bearer realm=\"usher\"\r\n"
          "proxy-authenticate: Basic realm=\"usher\", charset=\"UTF-8\"\r\n"
          "cache-control: no-store\r\n"
          "connection: close\r\n"
          "content-type: text/plain; charset=utf-8\r\n"
          "content-length: 14\r\n\r\n"
          "sign in first\n");
    CHECK(Response(201).json("{}").to_http1() ==
          "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
    CHECK(Response(204).to_http1() == "HTTP/1.1 204 No Content\r\n\r\n");
    CHECK(Response(404).to_http1() == "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
}

TEST_CASE("no value breaks out of its line") {
    CHECK(Response(400).field("X", " a\r\nSet-Cookie: b\0\x7f\x80 ").to_http1() ==
          "HTTP/1.1 400 Bad Request\r\nx: a??Set-Cookie: b\r\ncontent-length: 0\r\n\r\n");
    CHECK(Response(400).text("a\r\nb\x1b[2J\xff").to_http1().find("a??b?[2J?\n") != std::string::npos);
    CHECK_THROWS_AS(Response(400).field("X: y\r\nZ", "a"), std::invalid_argument);
    CHECK_THROWS_AS(Response(400).field("", "a"), std::invalid_argument);
    CHECK_THROWS_AS(Response(100), std::invalid_argument);
    CHECK_THROWS_AS(Response(1000), std::invalid_argument);
}

TEST_CASE("a Proxy-Status quotes its details") {
    CHECK(proxy_status("http_request_denied", "") == "usher; error=http_request_denied");
    CHECK(proxy_status("dns_error", "a \"b\" \\ \r\n\xff") == R"(usher; error=dns_error; details="a \"b\" \\ ???")");
}

TEST_CASE("the answer to a CONNECT is a head and nothing more") {
    CHECK(connect_established() == "HTTP/1.1 200 Connection Established\r\n\r\n");
}
