#include "wire/http1/connect_target.hpp"

#include <string>
#include <utility>

#include "catch.hpp"

using usher::base::Destination;
using usher::base::IpAddress;
using usher::wire::http1::parse_authority;
using usher::wire::http1::parse_connect_target;
using usher::wire::http1::Rejection;

TEST_CASE("a spelling that only a resolver understands is refused") {
    for (const char* host : {"127.1",
                             "2130706433",
                             "0177.0.0.1",
                             "0x7f000001",
                             "0x7f.1",
                             "0",
                             "2852039166",
                             "[fe80::1%25eth0]",
                             "[fe80::1%eth0]",
                             "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.\xe2\x93\xaa.\xe2\x93\xaa.\xe2\x91\xa0",
                             "[db.corp]",
                             "db.corp%00.evil",
                             "127.0.0.1.",
                             "[::1].",
                             "[[::1]]",
                             "[]",
                             "::1",
                             "",
                             "a@b",
                             "a b",
                             "-a",
                             "a..b"}) {
        INFO(host);
        const auto parsed = parse_connect_target(std::string(host) + ":5432");
        REQUIRE(std::holds_alternative<Rejection>(parsed));
        CHECK(std::get<Rejection>(parsed).status == 400);
    }
    CHECK(std::holds_alternative<Rejection>(parse_connect_target("db.corp:5432@evil")));
    CHECK(std::holds_alternative<Rejection>(parse_connect_target(std::string(70'000, 'a'))));
}

TEST_CASE("a port is a plain number from 1 to 65535") {
    for (const char* port : {"", ":", ":0", ":00", ":080", ":65536", ":99999", ":100000", ":+1", ":-1", ": 1", ":1 ",
                             ":0x50", ":http", ":80:80", ":8\xc2\xb2"}) {
        INFO(port);
        CHECK(parse_connect_target(std::string("db") + port) ==
              std::variant<Destination, Rejection>(Rejection{400, "authority-port"}));
    }
    CHECK(std::get<Destination>(parse_connect_target("db:1")).port == 1);
    CHECK(std::get<Destination>(parse_connect_target("db:65535")).port == 65535);
}

TEST_CASE("what is accepted has one canonical form") {
    const std::pair<const char*, const char*> cases[] = {
        {"db.corp:5432", "db.corp:5432"},
        {"DB.CORP.:5432", "db.corp:5432"},
        {"localhost:1", "localhost:1"},
        {"LOCALHOST.:1", "localhost:1"},
        {"127.0.0.1:1", "127.0.0.1:1"},
        {"0.0.0.0:1", "0.0.0.0:1"},
        {"[::]:1", "[::]:1"},
        {"[::1]:1", "[::1]:1"},
        {"[0:0:0:0:0:0:0:1]:1", "[::1]:1"},
        {"[::ffff:127.0.0.1]:1", "127.0.0.1:1"},
        {"[::FFFF:7F00:1]:1", "127.0.0.1:1"},
        {"[::127.0.0.1]:1", "[::7f00:1]:1"},
        {"[64:ff9b::7f00:1]:1", "[64:ff9b::7f00:1]:1"},
        {"[FD00:EC2::254]:80", "[fd00:ec2::254]:80"},
    };
    for (const auto& [text, canonical] : cases) {
        INFO(text);
        const auto parsed = parse_connect_target(text);
        REQUIRE(std::holds_alternative<Destination>(parsed));
        const auto& destination = std::get<Destination>(parsed);
        CHECK(destination.to_string() == canonical);
        CHECK(destination.address.has_value() == IpAddress::parse(destination.host).has_value());
        CHECK(parse_connect_target(destination.to_string()) == parsed);
    }
}

TEST_CASE("an authority may leave its port out") {
    const auto parsed = parse_authority("GW.example");
    REQUIRE(std::holds_alternative<usher::wire::http1::Authority>(parsed));
    CHECK_FALSE(std::get<usher::wire::http1::Authority>(parsed).port);
}
