#include "gateway/dial/address_class.hpp"

#include <utility>

#include "catch.hpp"

using usher::base::IpAddress;
using namespace usher::gateway::dial;

TEST_CASE("every special address is known for what it is") {
    const std::pair<const char*, AddressClass> cases[] = {
        {"8.8.8.8", AddressClass::global},
        {"1.0.0.0", AddressClass::global},
        {"223.255.255.255", AddressClass::global},
        {"100.63.255.255", AddressClass::global},
        {"100.64.0.0", AddressClass::shared},
        {"100.127.255.255", AddressClass::shared},
        {"100.128.0.0", AddressClass::global},
        {"10.255.255.255", AddressClass::private_},
        {"172.15.255.255", AddressClass::global},
        {"172.16.0.0", AddressClass::private_},
        {"172.31.255.255", AddressClass::private_},
        {"172.32.0.0", AddressClass::global},
        {"192.168.0.1", AddressClass::private_},
        {"127.0.0.1", AddressClass::loopback},
        {"127.255.255.255", AddressClass::loopback},
        {"0.0.0.0", AddressClass::unspecified},
        {"0.0.0.1", AddressClass::unspecified},
        {"0.255.255.255", AddressClass::unspecified},
        {"169.254.1.1", AddressClass::link_local},
        {"169.254.169.254", AddressClass::metadata},
        {"169.254.170.2", AddressClass::metadata},
        {"100.100.100.200", AddressClass::metadata},
        {"168.63.129.16", AddressClass::metadata},
        {"192.0.0.192", AddressClass::metadata},
        {"192.0.0.1", AddressClass::reserved},
        {"192.0.2.1", AddressClass::documentation},
        {"198.18.0.1", AddressClass::reserved},
        {"198.51.100.1", AddressClass::documentation},
        {"203.0.113.1", AddressClass::documentation},
        {"224.0.0.1", AddressClass::multicast},
        {"239.255.255.255", AddressClass::multicast},
        {"240.0.0.1", AddressClass::reserved},
        {"255.255.255.254", AddressClass::reserved},
        {"255.255.255.255", AddressClass::broadcast},
        {"2606:4700::1", AddressClass::global},
        {"::", AddressClass::unspecified},
        {"::1", AddressClass::loopback},
        {"fc00::1", AddressClass::private_},
        {"fdff::1", AddressClass::private_},
        {"fd00:ec2::254", AddressClass::metadata},
        {"fd00:ec2::253", AddressClass::private_},
        {"fe80::1", AddressClass::link_local},
        {"febf::1", AddressClass::link_local},
        {"fec0::1", AddressClass::reserved},
        {"fe80::a9fe:a9fe", AddressClass::metadata},
        {"ff02::1", AddressClass::multicast},
        {"2001:db8::1", AddressClass::documentation},
        {"3fff::1", AddressClass::documentation},
        {"2001:10::1", AddressClass::reserved},
        {"100::1", AddressClass::reserved},
        {"4000::1", AddressClass::reserved},
    };
    for (const auto& [text, expected] : cases) {
        INFO(text);
        CHECK(classify(*IpAddress::parse(text)) == expected);
    }
}

TEST_CASE("an address within an address counts when it is the worse of both") {
    const std::pair<const char*, AddressClass> cases[] = {
        {"::ffff:127.0.0.1", AddressClass::loopback},
        {"::ffff:a9fe:a9fe", AddressClass::metadata},
        {"::127.0.0.1", AddressClass::loopback},
        {"::8.8.8.8", AddressClass::embedded},
        {"::2", AddressClass::unspecified},  // 0.0.0.2
        {"64:ff9b::8.8.8.8", AddressClass::global},
        {"64:ff9b::10.0.0.1", AddressClass::private_},
        {"64:ff9b::7f00:1", AddressClass::loopback},
        {"64:ff9b::169.254.169.254", AddressClass::metadata},
        {"64:ff9b:1::8.8.8.8", AddressClass::embedded},
        {"64:ff9b:1::169.254.169.254", AddressClass::metadata},
        {"64:ff9b:1:ffff::127.0.0.1", AddressClass::loopback},
        {"64:ff9b:2::8.8.8.8", AddressClass::reserved},
        {"2002:7f00:1::", AddressClass::loopback},
        {"2002:a9fe:a9fe::1", AddressClass::metadata},
        {"2002:808:808::1", AddressClass::embedded},
        {"2001:0:808:808::80ff:fffe", AddressClass::loopback},    // client 127.0.0.1, inverted
        {"2001:0:808:808::5601:5601", AddressClass::metadata},    // client 169.254.169.254, inverted
        {"2001:0:808:808::f7f7:f7f7", AddressClass::embedded},    // client 8.8.8.8, inverted
        {"2606:4700::5efe:127.0.0.1", AddressClass::loopback},    // ISATAP
        {"2606:4700::200:5efe:8.8.8.8", AddressClass::embedded},  // ISATAP, universal bit
        {"fe80::5efe:169.254.169.254", AddressClass::metadata},
        {"fe80::5efe:8.8.8.8", AddressClass::link_local},
    };
    for (const auto& [text, expected] : cases) {
        INFO(text);
        CHECK(classify(*IpAddress::parse(text)) == expected);
    }
    CHECK_FALSE(embedded_v4(*IpAddress::parse("::")));
    CHECK_FALSE(embedded_v4(*IpAddress::parse("::1")));
    CHECK_FALSE(embedded_v4(*IpAddress::parse("127.0.0.1")));
    CHECK(embedded_v4(*IpAddress::parse("2002:a00:1::")) == IpAddress::parse("10.0.0.1"));
}
