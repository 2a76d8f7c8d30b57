#include "gateway/dial/checked_endpoint.hpp"

#include <algorithm>
#include <string>
#include <type_traits>

#include "catch.hpp"

using usher::base::Cidr;
using usher::base::IpAddress;
using namespace usher::gateway::dial;

static_assert(!std::is_constructible_v<CheckedEndpoint, IpAddress, std::uint16_t>);
static_assert(!std::is_default_constructible_v<CheckedEndpoint>);

namespace {

/// "dialled" or the reason of the refusal.
std::string judge(const char* address, std::initializer_list<const char*> allowed = {}, std::uint16_t port = 443,
                  std::shared_ptr<const OwnListeners> own = nullptr) {
    DialRules rules{{}, std::move(own)};
    for (const char* block : allowed) rules.allow_addresses.push_back(*Cidr::parse(block));
    const auto checked = check_address(*IpAddress::parse(address), port, rules);
    if (const auto* refusal = std::get_if<DialRefusal>(&checked)) return std::string(refusal->reason);
    CHECK(std::get<CheckedEndpoint>(checked).address() == IpAddress::parse(address));
    CHECK(std::get<CheckedEndpoint>(checked).port() == port);
    return "dialled";
}

}  // namespace

TEST_CASE("without an allow only ordinary addresses are dialled") {
    for (const char* address : {"8.8.8.8", "10.0.0.1", "100.64.0.1", "2606:4700::1", "fd12::1", "64:ff9b::8.8.8.8"}) {
        CHECK(judge(address) == "dialled");
    }
    CHECK(judge("127.0.0.1") == "loopback-address");
    CHECK(judge("::ffff:127.0.0.1") == "loopback-address");
    CHECK(judge("::1") == "loopback-address");
    CHECK(judge("64:ff9b::127.0.0.1") == "loopback-address");
    CHECK(judge("169.254.1.1") == "link-local-address");
    CHECK(judge("169.254.169.254") == "metadata-address");
    CHECK(judge("fd00:ec2::254") == "metadata-address");
    CHECK(judge("192.0.2.1") == "documentation-address");
    CHECK(judge("240.0.0.1") == "reserved-address");
    CHECK(judge("2002:808:808::1") == "embedded-address");
    CHECK(judge("10.0.0.1", {}, 0) == "port-zero");
}

TEST_CASE("an allow opens the addresses that it names, and no other spelling of what they lead to") {
    CHECK(judge("127.0.0.1", {"127.0.0.0/8"}) == "dialled");
    CHECK(judge("::1", {"127.0.0.0/8"}) == "loopback-address");
    CHECK(judge("::1", {"10.0.0.0/8", "::1"}) == "dialled");
    CHECK(judge("169.254.1.1", {"169.254.0.0/16"}) == "dialled");
    CHECK(judge("64:ff9b::127.0.0.1", {"127.0.0.0/8"}) == "loopback-address");
    CHECK(judge("::127.0.0.1", {"127.0.0.0/8"}) == "loopback-address");
    CHECK(judge("2002:7f00:1::", {"127.0.0.0/8"}) == "loopback-address");
    CHECK(judge("192.0.2.1", {"192.0.2.0/24"}) == "dialled");
}

TEST_CASE("a metadata service is dialled only when exactly it is named") {
    CHECK(judge("169.254.169.254", {"169.254.0.0/16"}) == "metadata-address");
    CHECK(judge("169.254.169.254", {"0.0.0.0/0", "::/0"}) == "metadata-address");
    CHECK(judge("169.254.169.254", {"169.254.169.254/31"}) == "metadata-address");
    CHECK(judge("169.254.169.254", {"169.254.169.254/32"}) == "dialled");
    CHECK(judge("169.254.169.254", {"169.254.169.254"}) == "dialled");
    CHECK(judge("64:ff9b::169.254.169.254", {"169.254.169.254"}) == "metadata-address");
    CHECK(judge("168.63.129.16") == "metadata-address");
    CHECK(judge("fd00:ec2::254", {"fd00::/8"}) == "metadata-address");
    CHECK(judge("fd00:ec2::254", {"fd00:ec2::254/128"}) == "dialled");
}

TEST_CASE("what is nobody's address is never dialled") {
    for (const char* address : {"0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255"}) {
        INFO(address);
        CHECK(judge(address, {"0.0.0.0/0", "::/0", address}) != "dialled");
    }
}

TEST_CASE("the gateway's own listeners are never dialled, whatever is allowed") {
    const auto own = std::make_shared<const OwnListeners>(
        OwnListeners{{{*IpAddress::parse("127.0.0.1"), 9464},
                      {*IpAddress::parse("0.0.0.0"), 8443},
                      {*IpAddress::parse("10.0.0.9"), 22}},
                     {*IpAddress::parse("10.0.0.9"), *IpAddress::parse("fd12::9")}});
    CHECK(judge("127.0.0.1", {"127.0.0.0/8"}, 9464, own) == "own-listener");
    CHECK(judge("127.0.0.2", {"127.0.0.0/8"}, 9464, own) == "dialled");
    CHECK(judge("127.0.0.1", {"127.0.0.0/8"}, 9465, own) == "dialled");
    CHECK(judge("127.9.9.9", {"127.0.0.0/8"}, 8443, own) == "own-listener");
    CHECK(judge("::1", {"::1"}, 8443, own) == "own-listener");
    CHECK(judge("10.0.0.9", {}, 8443, own) == "own-listener");
    CHECK(judge("fd12::9", {}, 8443, own) == "own-listener");
    CHECK(judge("10.0.0.10", {}, 8443, own) == "dialled");
    CHECK(judge("10.0.0.9", {}, 22, own) == "own-listener");
    CHECK(judge("64:ff9b::10.0.0.9", {}, 22, own) == "own-listener");
    CHECK(judge("64:ff9b::10.0.0.9", {}, 443, own) == "dialled");
}

TEST_CASE("the machine knows its loopback address") {
    const auto addresses = local_interface_addresses();
    CHECK(std::find(addresses.begin(), addresses.end(), *IpAddress::parse("127.0.0.1")) != addresses.end());
}
