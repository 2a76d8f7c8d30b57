#include "wire/http2/request_builder.hpp"

#include <utility>
#include <vector>

#include "catch.hpp"

using usher::wire::http1::Request;
using usher::wire::http2::RequestBuilder;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

/// The token of the rejection; empty when the request is good, which then goes to `request`.
std::string refused(const Fields& fields, Request* request = nullptr) {
    RequestBuilder builder;
    for (const auto& [name, value] : fields) builder.add(name, value);
    builder.finish();
    if (builder.rejection())
        return std::to_string(builder.rejection()->status) + ' ' + std::string(builder.rejection()->reason);
    if (request != nullptr) *request = std::move(builder.request());
    return {};
}

Fields with(Fields fields, const Fields& more) {
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
}

const Fields tunnel{{":method", "CONNECT"}, {":authority", "db.corp:5432"}};
const Fields get{{":method", "GET"}, {":scheme", "https"}, {":authority", "gw.corp"}, {":path", "/.usher/v1/apps"}};

}  // namespace

TEST_CASE("a CONNECT over HTTP/2 becomes the same request as over HTTP/1.1") {
    Request request;
    REQUIRE(refused(with(tunnel, {{"proxy-authorization", "Bearer x"}}), &request).empty());
    CHECK(request.method == "CONNECT");
    REQUIRE(request.destination);
    CHECK(request.destination->host == "db.corp");
    CHECK(request.destination->port == 5432);
    CHECK(*request.field("proxy-authorization") == "Bearer x");

    REQUIRE(refused({{":method", "CONNECT"}, {":authority", "DB.Corp.:5432"}}, &request).empty());
    CHECK(request.destination->host == "db.corp");
    CHECK(refused(with(tunnel, {{"host", "db.corp:5432"}})).empty());
}

TEST_CASE("a CONNECT that could be read in two ways is refused") {
    CHECK(refused({{":method", "CONNECT"}}) == "400 bad-target");
    CHECK(refused({{":method", "CONNECT"}, {":authority", "db.corp"}}) == "400 authority-port");
    CHECK(refused({{":method", "CONNECT"}, {":authority", "user@db.corp:1"}}) == "400 authority-host");
    CHECK(refused({{":method", "CONNECT"}, {":authority", "2130706433:80"}}) == "400 authority-host");
    CHECK(refused({{":method", "CONNECT"}, {":authority", ""}}) == "400 authority-length");
    CHECK(refused({{":method", "CONNECT"}, {":authority", "a:1"}, {":authority", "b:1"}}) == "400 duplicate-field");
    CHECK(refused({{":method", "CONNECT"}, {":method", "GET"}, {":authority", "a:1"}}) == "400 duplicate-field");
    CHECK(refused({{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}}) == "400 bad-target");
    CHECK(refused({{":method", "CONNECT"}, {":authority", "a:1"}, {":scheme", "https"}}) == "400 bad-target");
    CHECK(refused({{":method", "CONNECT"}, {":protocol", "websocket"}, {":authority", "a:1"}}) ==
          "400 unknown-pseudo-field");
    CHECK(refused(with(tunnel, {{"content-length", "0"}})) == "400 connect-with-content");
    CHECK(refused(with(tunnel, {{"host", "other:5432"}})) == "400 host-mismatch");
    CHECK(refused(with(tunnel, {{"host", "db.corp:1"}})) == "400 host-mismatch");
}

TEST_CASE("a request for a path is as strict as in HTTP/1.1") {
    Request request;
    REQUIRE(refused(get, &request).empty());
    CHECK(request.target == "/.usher/v1/apps");
    CHECK_FALSE(request.destination);
    const auto target = [](std::string path) {
        Fields fields = get;
        fields[3].second = std::move(path);
        return refused(fields);
    };
    for (const char* path : {"", "*", "//evil", "/a/../b", "/%2e", "/a#b", "/a\\b", "https://gw.corp/"})
        CHECK(target(path) == "400 bad-target");
    CHECK(refused({{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}) == "400 bad-scheme");
    CHECK(refused({{":method", "GET"}, {":authority", "a"}, {":path", "/"}}) == "400 bad-scheme");
    CHECK(refused({{":method", "GET"}, {":scheme", "https"}, {":path", "/"}}) == "400 host-missing");
    CHECK(refused({{":method", "get"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}}) == "400 bad-method");
    CHECK(refused(with(get, {{"host", "other.corp"}})) == "400 host-mismatch");
    CHECK(refused(with(get, {{"content-length", "1"}})) == "400 unexpected-content");
    CHECK(refused({}) == "400 bad-method");
}

TEST_CASE("fields that frame or decide are refused or stand once") {
    CHECK(refused(with(tunnel, {{"transfer-encoding", "chunked"}})) == "400 transfer-encoding");
    CHECK(refused(with(tunnel, {{"connection", "x"}})) == "400 connection-field");
    CHECK(refused(with(tunnel, {{"proxy-connection", "x"}})) == "400 connection-field");
    CHECK(refused(with(tunnel, {{"upgrade", "websocket"}})) == "400 upgrade");
    CHECK(refused(with(tunnel, {{"expect", "100-continue"}})) == "417 expect");
    CHECK(refused(with(tunnel, {{"proxy-authorization", "a"}, {"proxy-authorization", "b"}})) == "400 duplicate-field");
    CHECK(refused(with(get, {{"content-length", "+1"}})) == "400 content-length-invalid");
    CHECK(refused(with(tunnel, {{"Upper", "x"}})) == "400 bad-field-name");
    CHECK(refused(with(tunnel, {{"a_b", "x"}})) == "400 bad-field-name");
    CHECK(refused(with(tunnel, {{"a:b", "x"}})) == "400 bad-field-name");
    CHECK(refused(with(tunnel, {{"", "x"}})) == "400 bad-field-name");
    CHECK(refused(with(tunnel, {{"a", "x\r\nb: c"}})) == "400 bad-field-value");
    CHECK(refused(with(tunnel, {{"a", "\xc3\xa9"}})) == "400 bad-field-value");
    CHECK(refused({{"a", "b"}, {":method", "CONNECT"}, {":authority", "a:1"}}) == "400 pseudo-field-late");
    CHECK(refused(with(tunnel, {{"cookie", "a=b"}, {"cookie", "c=d"}})).empty());
}

TEST_CASE("a head has its bounds, and nothing is kept past them") {
    Fields many = tunnel;
    for (int i = 0; i < 65; ++i) many.emplace_back("a" + std::to_string(i), "b");
    CHECK(refused(many) == "431 too-many-fields");
    CHECK(refused(with(tunnel, {{std::string(257, 'a'), "b"}})) == "400 bad-field-name");

    RequestBuilder builder;
    for (const auto& [name, value] : tunnel) builder.add(name, value);
    for (int i = 0; i < 100; ++i) builder.add("cookie", std::string(4000, 'c'));
    CHECK(builder.bytes() > 400'000);
    CHECK(builder.request().fields.size() < 5);
    builder.finish();
    REQUIRE(builder.rejection());
    CHECK(builder.rejection()->status == 431);
}
