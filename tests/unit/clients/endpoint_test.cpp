#include "clients/common/endpoint.hpp"

#include "catch.hpp"

using namespace usher::clients;

TEST_CASE("hosts, addresses and ports are read strictly") {
    CHECK(parse_endpoint("DB.corp.example:5432")->to_string() == "db.corp.example:5432");
    CHECK(parse_endpoint("127.0.0.1:1")->to_string() == "127.0.0.1:1");
    CHECK(parse_endpoint("[2001:DB8::1]:443")->to_string() == "[2001:db8::1]:443");
    for (const char* text :
         {"", "host", ":80", "host:", "host:0", "host:65536", "host:+1", "host:1 ", "::1:80", "[::1]", "[::1:80",
          "[127.0.0.1]:80", "a b:1", "user@host:1", "127.1:80", "0x7f000001:80", "[db.corp]:1", "h\r\nX: y:1"})
        CHECK_FALSE(parse_endpoint(text).ok());
}

TEST_CASE("a forward rule names where to listen and where to go") {
    const auto rule = parse_forward_rule("127.0.0.1:5432=db.corp.example:5432");
    REQUIRE(rule.ok());
    CHECK(rule->local.to_string() == "127.0.0.1:5432");
    CHECK(rule->destination.to_string() == "db.corp.example:5432");
    CHECK(parse_forward_rule("0=db:1")->local.to_string() == "127.0.0.1:0");
    CHECK(parse_forward_rule("localhost:7=db:1")->local.to_string() == "127.0.0.1:7");
    CHECK(parse_forward_rule("[::1]:7=db:1")->local.is_loopback_address());
    CHECK(parse_forward_rule("127.8.8.8:7=db:1")->local.is_loopback_address());
    CHECK_FALSE(parse_forward_rule("0.0.0.0:7=db:1")->local.is_loopback_address());
    CHECK_FALSE(parse_forward_rule("[::]:7=db:1")->local.is_loopback_address());
    for (const char* text : {"db:1", "=db:1", "1=", "1=db", "1=db:0", "host.example:1=db:1", "70000=db:1"})
        CHECK_FALSE(parse_forward_rule(text).ok());
}
