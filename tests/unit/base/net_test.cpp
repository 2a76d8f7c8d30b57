#include "base/net.hpp"

#include <utility>

#include "catch.hpp"

using usher::base::canonical_host_name;
using usher::base::Cidr;
using usher::base::Destination;
using usher::base::IpAddress;

TEST_CASE("an address is read only in its standard spelling") {
    for (const char* text : {"",
                             "127.1",
                             "0x7f000001",
                             "0x7f.0.0.1",
                             "2130706433",
                             "0177.0.0.1",
                             "0",
                             "1.2.3",
                             "1.2.3.4.5",
                             "256.0.0.1",
                             "1.2.3.04",
                             "1.2.3.4 ",
                             " 1.2.3.4",
                             "+1.2.3.4",
                             "1.2.3.",
                             ".1.2.3",
                             "1..2.3",
                             "[::1]",
                             "fe80::1%eth0",
                             ":",
                             ":::",
                             "1:::2",
                             "::1::",
                             "1::2::3",
                             "1:2:3:4:5:6:7",
                             "1:2:3:4:5:6:7:8:9",
                             "1:2:3:4:5:6:7::8",
                             "12345::",
                             "g::",
                             ":1",
                             "1:",
                             "::1.2.3",
                             "1.2.3.4::",
                             "::1.2.3.4:5",
                             "1:2:3:4:5:6:7:1.2.3.4",
                             "::ffff:1.2.3.4.5",
                             "::ffff:01.2.3.4"}) {
        INFO(text);
        CHECK_FALSE(IpAddress::parse(text));
    }
}

TEST_CASE("an address is written in its canonical form") {
    const std::pair<const char*, const char*> cases[] = {
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:DB8::0001", "2001:db8::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
        {"::127.0.0.1", "::7f00:1"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
        {"::ffff:127.0.0.1", "127.0.0.1"},
        {"::ffff:7f00:1", "127.0.0.1"},
        {"0:0:0:0:0:ffff:7f00:0001", "127.0.0.1"},
        {"fe80:1:2:3:4:5:255.255.255.255", "fe80:1:2:3:4:5:ffff:ffff"},
    };
    for (const auto& [text, canonical] : cases) {
        INFO(text);
        const auto address = IpAddress::parse(text);
        REQUIRE(address);
        CHECK(address->to_string() == canonical);
        CHECK(IpAddress::parse(address->to_string()) == address);
    }
    CHECK(IpAddress::v4(0x7f000001) == IpAddress::parse("127.0.0.1"));
    CHECK(IpAddress::parse("::ffff:1.2.3.4")->is_v4());
    CHECK_FALSE(IpAddress::parse("::1.2.3.4")->is_v4());
}

TEST_CASE("a block holds what shares its prefix and nothing else") {
    const auto ten = Cidr::parse("10.20.0.0/16");
    REQUIRE(ten);
    CHECK(ten->prefix_bits == 112);
    CHECK(ten->to_string() == "10.20.0.0/16");
    CHECK(ten->contains(*IpAddress::parse("10.20.255.255")));
    CHECK(ten->contains(*IpAddress::parse("::ffff:10.20.0.1")));
    CHECK_FALSE(ten->contains(*IpAddress::parse("10.21.0.0")));
    CHECK_FALSE(ten->contains(*IpAddress::parse("::10.20.0.1")));

    const auto odd = Cidr::parse("10.32.0.0/11");
    REQUIRE(odd);
    CHECK(odd->contains(*IpAddress::parse("10.63.255.255")));
    CHECK_FALSE(odd->contains(*IpAddress::parse("10.64.0.0")));
    CHECK_FALSE(odd->contains(*IpAddress::parse("10.31.255.255")));

    CHECK(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("8.8.8.8")));
    CHECK_FALSE(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("2001:db8::1")));
    // Whoever writes an IPv6 block does not mean all of IPv4.
    CHECK_FALSE(Cidr::parse("::/0")->contains(*IpAddress::parse("8.8.8.8")));
    CHECK(Cidr::parse("::/0")->contains(*IpAddress::parse("2001:db8::1")));
    CHECK(Cidr::parse("127.0.0.1")->prefix_bits == 128);
    CHECK(Cidr::parse("127.0.0.1/32") == Cidr::parse("127.0.0.1"));
    CHECK(Cidr::parse("::ffff:10.0.0.0/104") == Cidr::parse("10.0.0.0/8"));
    CHECK(Cidr::parse("2001:db8::/32")->to_string() == "2001:db8::/32");
    CHECK(Cidr::parse("::ffff:0:0/95") == std::nullopt);

    for (const char* text : {"", "/8", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1",
                             "10.0.0.0/8/8", "2001:db8::1/32", "::/129", "10/8", "10.0.0.0 /8"}) {
        INFO(text);
        CHECK_FALSE(Cidr::parse(text));
    }
}

TEST_CASE("a block that reads back is the same block") {
    for (const char* text : {"0.0.0.0/0", "10.0.0.0/8", "127.0.0.1", "::/0", "::fffe:0:0/95", "fd00::/8", "::1"}) {
        INFO(text);
        const auto block = Cidr::parse(text);
        REQUIRE(block);
        CHECK(Cidr::parse(block->to_string()) == block);
    }
}

TEST_CASE("a host name has one canonical spelling") {
    CHECK(canonical_host_name("CRM.Corp.Example.") == "crm.corp.example");
    CHECK(canonical_host_name("localhost") == "localhost");
    CHECK(canonical_host_name("_ldap._tcp.corp") == "_ldap._tcp.corp");
    CHECK(canonical_host_name("a-b.c1") == "a-b.c1");
    CHECK(canonical_host_name("1.2.3.4.example") == "1.2.3.4.example");
    CHECK(canonical_host_name(std::string(63, 'a') + ".b"));
    const std::string longest =
        std::string(63, 'a') + '.' + std::string(63, 'b') + '.' + std::string(63, 'c') + '.' + std::string(61, 'd');
    CHECK(canonical_host_name(longest));
    CHECK(canonical_host_name(longest + '.'));
    for (const std::string& text : {std::string(),
                                    std::string("."),
                                    std::string("a.."),
                                    std::string(".a"),
                                    std::string("a..b"),
                                    std::string("-a"),
                                    std::string("a-"),
                                    std::string("a-.b"),
                                    std::string("a b"),
                                    std::string("a\0b", 3),
                                    std::string("b\xc3\xbc"),
                                    std::string("a%00.b"),
                                    std::string("[db.corp]"),
                                    std::string("a:b"),
                                    std::string("a@b"),
                                    std::string("a/b"),
                                    std::string("corp_x"),
                                    std::string("127.1"),
                                    std::string("2130706433"),
                                    std::string("0x7f.0x1"),
                                    std::string("0X7F000001"),
                                    std::string("a.0"),
                                    std::string("127.0.0.1."),
                                    std::string("*.corp"),
                                    std::string(64, 'a'),
                                    longest + 'd'}) {
        INFO(text);
        CHECK_FALSE(canonical_host_name(text));
    }
}

TEST_CASE("a destination shows an IPv6 address in brackets") {
    CHECK(Destination{"db.corp", {}, 5432}.to_string() == "db.corp:5432");
    CHECK(Destination{"::1", IpAddress::parse("::1"), 1}.to_string() == "[::1]:1");
    CHECK(Destination{"127.0.0.1", IpAddress::parse("127.0.0.1"), 1}.to_string() == "127.0.0.1:1");
}
