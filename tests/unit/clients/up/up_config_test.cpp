#include "clients/usher/up/up_config.hpp"

#include "catch.hpp"
#include "clients/usher/up/pac.hpp"

using namespace usher::clients::agent;

TEST_CASE("the configuration of usher up") {
    auto config =
        parse_up_config("socks: 127.0.0.1:0\nforwards: [\"5432=db.example:5432\", \"[::1]:22=b.example:22\"]\n", "f");
    REQUIRE(config);
    CHECK(config->socks.to_string() == "127.0.0.1:0");
    REQUIRE(config->forwards.size() == 2);
    CHECK(config->forwards[0].local.to_string() == "127.0.0.1:5432");
    CHECK(config->forwards[1].destination.to_string() == "b.example:22");
    CHECK(parse_up_config("", "f")->socks.to_string() == "127.0.0.1:1080");
}

TEST_CASE("a wrong configuration of usher up is named with its place") {
    const auto message = [](const char* text) {
        auto config = parse_up_config(text, "up.yaml");
        REQUIRE_FALSE(config);
        return config.error().message;
    };
    CHECK(message("sock: 1\n") == "up.yaml:1:1: unknown key 'sock'; did you mean 'socks'?");
    CHECK(message("socks: 0.0.0.0:1080\n").find("up.yaml:1:8: 'socks': 0.0.0.0:1080 is no loopback address") == 0);
    CHECK(message("socks: [1]\n").find("up.yaml:1:8: 'socks' is ADDRESS:PORT, not a list") == 0);
    CHECK(message("forwards: a\n").find("up.yaml:1:11: 'forwards' is a list") == 0);
    CHECK(message("forwards:\n- 0.0.0.0:1=a:2\n").find("up.yaml:2:3: 0.0.0.0:1 is no loopback address") == 0);
    CHECK(message("forwards:\n- x\n").find("up.yaml:2:3: ") == 0);
    CHECK(message("- a\n").find("up.yaml:1:1: a map of socks and forwards") == 0);
}

TEST_CASE("a PAC file lists destinations, and nothing of them can break out of it") {
    const auto pac = make_pac({"crm.example:443", "*.b.example:1-65535", "10.20.0.0/16:5432", "[2001:db8::/32]:22",
                               "evil\"]; alert(1); [\":1", "a:0", "a", ""},
                              "127.0.0.1:1080");
    CHECK(pac.find("[\"crm.example\", 443, 443]") != std::string::npos);
    CHECK(pac.find("[\"*.b.example\", 1, 65535]\n") != std::string::npos);
    CHECK(pac.find("[\"00000000000000000000ffff0a140000\", 112, 5432, 5432]") != std::string::npos);
    CHECK(pac.find("[\"20010db8000000000000000000000000\", 32, 22, 22]\n") != std::string::npos);
    CHECK(pac.find("alert") == std::string::npos);
    CHECK(pac.find("PROXY 127.0.0.1:1080") != std::string::npos);

    CHECK(destinations_of(R"({"apps":[{"name":"a","destinations":["x:1","y:2"]},{"name":"b","destinations":[]}]})")
              .value() == std::vector<std::string>{"x:1", "y:2"});
    CHECK_FALSE(destinations_of(R"({"apps":[{"name":"a"}]})"));
    CHECK_FALSE(destinations_of("[]"));
}
