#include "clients/usher/up/proxy_request.hpp"

#include "catch.hpp"

using namespace std::string_literals;
using namespace usher::clients::agent;
using usher::wire::http1::Rejection;

namespace {

std::string connected(const std::string& head) {
    auto request = parse_proxy_request(head);
    const auto* connect = std::get_if<ConnectRequest>(&request);
    return connect != nullptr ? connect->destination.to_string() : "";
}

ForwardRequest forwarded(const std::string& head) {
    auto request = parse_proxy_request(head);
    REQUIRE(std::holds_alternative<ForwardRequest>(request));
    return std::get<ForwardRequest>(std::move(request));
}

std::string rejected(const std::string& head) {
    auto request = parse_proxy_request(head);
    const auto* rejection = std::get_if<Rejection>(&request);
    return rejection != nullptr ? std::string(rejection->reason) : "";
}

}  // namespace

TEST_CASE("a program's CONNECT names the tunnel's destination, canonical") {
    CHECK(connected("CONNECT CRM.Example.:443 HTTP/1.1\r\nHost: crm.example\r\n\r\n") == "crm.example:443");
    CHECK(connected("CONNECT [2001:db8::1]:22 HTTP/1.0\r\n\r\n") == "[2001:db8::1]:22");
    CHECK(connected(
              "CONNECT a:1 HTTP/1.1\r\nProxy-Connection: keep-alive\r\nUser-Agent: x\r\nContent-Length: 0\r\n\r\n") ==
          "a:1");
    CHECK(rejected("CONNECT a HTTP/1.1\r\n\r\n") == "authority-port");
    CHECK(rejected("CONNECT 2130706433:80 HTTP/1.1\r\n\r\n") == "authority-host");
    CHECK(rejected("CONNECT a:1 HTTP/1.1\r\nContent-Length: 3\r\n\r\n") == "connect-with-content");
    CHECK(rejected("CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n") == "connect-with-content");
}

TEST_CASE("a request for another server is handed on in origin-form without what was the proxy's") {
    const auto request = forwarded(
        "GET http://CRM.example:8080/a/%2F?x=1 HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: Basic YTpi\r\n"
        "Connection: close, X-Secret\r\nX-Secret: 1\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: "
        "trailers\r\n"
        "Upgrade: h2c\r\nUser-Agent: caf\xc3\xa9\r\nCookie: a=b\r\n\r\n");
    CHECK(request.destination.to_string() == "crm.example:8080");
    CHECK(request.head ==
          "GET /a/%2F?x=1 HTTP/1.1\r\nHost: crm.example:8080\r\nuser-agent: caf\xc3\xa9\r\ncookie: a=b\r\n"
          "Connection: close\r\n\r\n");
    CHECK(request.body.kind == BodyFraming::Kind::none);

    CHECK(forwarded("GET HTTP://a HTTP/1.0\r\n\r\n").head == "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(forwarded("GET http://a?q HTTP/1.1\r\n\r\n").head.starts_with("GET /?q HTTP/1.1\r\n"));
    CHECK(forwarded("GET http://[2001:db8::1]:80/ HTTP/1.1\r\n\r\n").head.find("Host: [2001:db8::1]\r\n") !=
          std::string::npos);
}

TEST_CASE("a forwarded request has one framing or is refused") {
    const std::string line = "POST http://a/ HTTP/1.1\r\n";
    CHECK(forwarded(line + "Content-Length: 12\r\n\r\n").body == BodyFraming{BodyFraming::Kind::length, 12});
    const auto chunked = forwarded(line + "Transfer-Encoding: Chunked\r\n\r\n");
    CHECK(chunked.body.kind == BodyFraming::Kind::chunked);
    CHECK(chunked.head.find("transfer-encoding: Chunked\r\n") != std::string::npos);
    // Connection must not take the framing away.
    CHECK(forwarded(line + "Connection: content-length\r\nContent-Length: 3\r\n\r\n").head.find("content-length: 3") !=
          std::string::npos);
    CHECK(rejected(line + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n") == "framing");
    CHECK(rejected(line + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n") == "framing");
    CHECK(rejected(line + "Content-Length: 1, 1\r\n\r\n") == "content-length-invalid");
    CHECK(rejected(line + "Content-Length: +1\r\n\r\n") == "content-length-invalid");
    for (const char* coding : {"gzip, chunked", "xchunked", "identity", "chunked, chunked", ""})
        CHECK(rejected(line + "Transfer-Encoding: " + coding + "\r\n\r\n") == "transfer-encoding");
    CHECK(rejected("POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == "transfer-encoding");
}

TEST_CASE("what could be read in two ways is refused") {
    CHECK(rejected("GET http://u:p@a/ HTTP/1.1\r\n\r\n") == "authority-port");
    CHECK(rejected("GET http://a:0/ HTTP/1.1\r\n\r\n") == "authority-port");
    CHECK(rejected("GET http:///x HTTP/1.1\r\n\r\n") == "authority-length");
    CHECK(rejected("GET https://a/ HTTP/1.1\r\n\r\n") == "target");
    CHECK(rejected("GET ftp://a/ HTTP/1.1\r\n\r\n") == "target");
    CHECK(rejected("GET a HTTP/1.1\r\n\r\n") == "target");
    CHECK(rejected("OPTIONS * HTTP/1.1\r\n\r\n") == "target");
    CHECK(rejected("GET http://a/#x HTTP/1.1\r\n\r\n") == "request-line");
    CHECK(rejected("GET http://a/ b HTTP/1.1\r\n\r\n") == "request-line");
    CHECK(rejected("GET http://a/ HTTP/2.0\r\n\r\n") == "request-line");
    CHECK(rejected("GET  HTTP/1.1\r\n\r\n") == "request-line");
    CHECK(rejected("GET http://a/ HTTP/1.1\n\r\n") == "request-line");
    CHECK(rejected("GET http://a/ HTTP/1.1\r\nA : b\r\n\r\n") == "field");
    CHECK(rejected("GET http://a/ HTTP/1.1\r\n fold\r\n\r\n") == "field");
    CHECK(rejected("GET http://a/ HTTP/1.1\r\nA: b\r\n c\r\n\r\n") == "field");
    CHECK(rejected("GET http://a/ HTTP/1.1\r\nA: b\nC: d\r\n\r\n") == "field");
    CHECK(rejected("GET http://a/ HTTP/1.1\r\nA: b\rC: d\r\n\r\n") == "field");
    CHECK(rejected("GET http://a/ HTTP/1.1\r\n: b\r\n\r\n") == "field");
    CHECK(rejected("GET http://a/ HTTP/1.1\r\nA: b\0\r\n\r\n"s) == "field");
    CHECK(rejected("GET http://a/ HTTP/1.1\r\nA: b\r\n") == "head-incomplete");
    std::string many = "GET http://a/ HTTP/1.1\r\n";
    for (int i = 0; i < 201; ++i) many += "a: b\r\n";
    CHECK(rejected(many + "\r\n") == "too-many-fields");
}

TEST_CASE("a request in origin-form is for the agent itself") {
    auto request = parse_proxy_request("GET /proxy.pac?x HTTP/1.1\r\nHost: 127.0.0.1:1080\r\nOrigin: a\r\n\r\n");
    const auto& local = std::get<LocalRequest>(request);
    CHECK(local.method == "GET");
    CHECK(local.path == "/proxy.pac");
    CHECK(local.field("host") == "127.0.0.1:1080");
    CHECK(local.field("origin") == "a");
    CHECK(local.field("nothing").empty());
}
