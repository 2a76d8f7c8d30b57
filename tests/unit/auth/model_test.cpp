#include "auth/model.hpp"

#include "catch.hpp"

using namespace usher;
using auth::DestinationPattern;

namespace {

base::Destination name(const std::string& host, std::uint16_t port) { return {host, std::nullopt, port}; }
base::Destination address(const std::string& text, std::uint16_t port) {
    const auto ip = base::IpAddress::parse(text).value();
    return {ip.to_string(), ip, port};
}
bool matches(std::string_view pattern, const base::Destination& destination) {
    return DestinationPattern::parse(pattern).value().matches(destination);
}

}  // namespace

TEST_CASE("a destination is read and written in one canonical form") {
    const std::pair<const char*, const char*> forms[] = {
        {"db.corp.example:5432", "db.corp.example:5432"},
        {"DB.Corp.Example.:5432", "db.corp.example:5432"},
        {"*.crm.example:443", "*.crm.example:443"},
        {"*.com:443", "*.com:443"},
        {"127.0.0.1:18080", "127.0.0.1:18080"},
        {"10.20.0.0/16:5432", "10.20.0.0/16:5432"},
        {"0.0.0.0/0:1-65535", "0.0.0.0/0:1-65535"},
        {"[2001:DB8::1]:22", "[2001:db8::1]:22"},
        {"[2001:db8::/32]:22-23", "[2001:db8::/32]:22-23"},
        {"[::ffff:10.0.0.1]:80", "10.0.0.1:80"},
        {"app:80-80", "app:80"},
    };
    for (const auto& [text, canonical] : forms) {
        INFO(text);
        const auto pattern = DestinationPattern::parse(text);
        REQUIRE(pattern);
        CHECK(pattern->to_string() == canonical);
        CHECK(DestinationPattern::parse(canonical) == pattern);
    }
}

TEST_CASE("a malformed destination is refused") {
    for (const char* text : {"",
                             ":",
                             "host",
                             "host:",
                             ":80",
                             "host:0",
                             "host:65536",
                             "host:080",
                             "host:+80",
                             "host:80-79",
                             "host:80-",
                             "host:-80",
                             "host:1-2-3",
                             "host: 80",
                             "host :80",
                             "*:443",
                             "*.:443",
                             "*.*.example:443",
                             "a.*.example:443",
                             "*example:443",
                             "*.1.2.3.4:443",
                             "10.20.0.1/16:5432",
                             "10.20.0.0/33:5432",
                             "127.1:80",
                             "2130706433:80",
                             "0x7f.1:80",
                             "0177.0.0.1:80",
                             "::1:22",
                             "[::1]",
                             "[::1]:",
                             "[]:80",
                             "[10.0.0.1]:80",
                             "[host]:80",
                             "[::1%eth0]:80",
                             "[::1:80",
                             "::1]:80",
                             "ho st:80",
                             "host\n:80",
                             "-host:80",
                             "http://host:80",
                             "user@host:80",
                             "host:80/"}) {
        INFO(text);
        CHECK_FALSE(DestinationPattern::parse(text));
    }
    CHECK_FALSE(DestinationPattern::parse(std::string_view("host\0:80", 8)));
    CHECK_FALSE(DestinationPattern::parse(std::string(300, 'a') + ":80"));
}

TEST_CASE("a name matches itself and nothing else") {
    CHECK(matches("crm.example:443", name("crm.example", 443)));
    CHECK_FALSE(matches("crm.example:443", name("crm.example", 444)));
    CHECK_FALSE(matches("crm.example:443", name("a.crm.example", 443)));
    CHECK_FALSE(matches("crm.example:443", name("xcrm.example", 443)));
}

TEST_CASE("a wildcard matches every name below its domain and not the domain") {
    CHECK(matches("*.crm.example:443", name("a.crm.example", 443)));
    CHECK(matches("*.crm.example:443", name("a.b.crm.example", 443)));
    CHECK_FALSE(matches("*.crm.example:443", name("crm.example", 443)));
    CHECK_FALSE(matches("*.crm.example:443", name("acrm.example", 443)));
    CHECK_FALSE(matches("*.crm.example:443", name("crm.example.evil", 443)));
}

TEST_CASE("a block matches addresses only, in whatever form they were written") {
    CHECK(matches("10.20.0.0/16:1-100", address("10.20.255.255", 100)));
    CHECK_FALSE(matches("10.20.0.0/16:1-100", address("10.21.0.0", 100)));
    CHECK_FALSE(matches("10.20.0.0/16:1-100", address("10.20.0.1", 101)));
    CHECK(matches("10.20.0.0/16:80", address("::ffff:10.20.0.1", 80)));
    CHECK_FALSE(matches("10.20.0.0/16:80", name("10.20.0.1", 80)));
    CHECK(matches("0.0.0.0/0:80", address("8.8.8.8", 80)));
    CHECK_FALSE(matches("0.0.0.0/0:80", address("2001:db8::1", 80)));
    CHECK(matches("[::/0]:80", address("2001:db8::1", 80)));
    CHECK_FALSE(matches("[::/0]:80", address("127.0.0.1", 80)));
}

TEST_CASE("a rule matches when each list that is not empty holds the account's value") {
    auth::Account alice;
    alice.username = "alice";
    alice.department = "Finance";
    alice.groups = {"sales", "staff"};
    using Rule = auth::Rule;
    CHECK(Rule{{"alice"}, {}, {}}.matches(alice, auth::Context{}));
    CHECK(Rule{{"bob", "alice"}, {"staff"}, {"Finance"}}.matches(alice, auth::Context{}));
    CHECK_FALSE(Rule{{"alice"}, {"admins"}, {}}.matches(alice, auth::Context{}));
    CHECK_FALSE(Rule{{}, {"Staff"}, {}}.matches(alice, auth::Context{}));
    CHECK_FALSE(Rule{{}, {}, {"finance"}}.matches(alice, auth::Context{}));
    CHECK_FALSE(Rule{{}, {}, {"Finance "}}.matches(alice, auth::Context{}));
    CHECK_FALSE(Rule{}.matches(alice, auth::Context{}));
    CHECK_FALSE(Rule{{}, {}, {"x"}}.matches(auth::Account{}, auth::Context{}));
}
