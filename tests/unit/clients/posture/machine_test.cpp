#include "clients/posture/fixture_tree.hpp"
#include "clients/posture/hardware_facts.hpp"
#include "clients/posture/network_type.hpp"

using namespace usher::clients;

namespace {

constexpr const char* head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

std::string route(const std::string& interface, const std::string& destination, const std::string& flags,
                  const std::string& metric, const std::string& mask) {
    return interface + "\t" + destination + "\t0100A8C0\t" + flags + "\t0\t0\t" + metric + "\t" + mask + "\t0\t0\t0\n";
}

}  // namespace

TEST_CASE("storage is that of the root, and what is free is told in whole GiB", "[posture]") {
    const FixtureTree fixture;
    const auto known = storage(fixture.tree());
    REQUIRE(known.has_value());
    CHECK(known->bytes > 0);
    CHECK(known->free_bytes <= known->bytes);
    CHECK(known->free_bytes % (1ULL << 30) == 0);
    CHECK_FALSE(storage(SystemTree(fixture.at("/none"))).has_value());
}

TEST_CASE("the battery is the machine's own, rounded to ten", "[posture]") {
    const FixtureTree fixture;
    const std::string at = "/sys/class/power_supply/";
    CHECK_FALSE(battery_percent(fixture.tree()).has_value());
    fixture.file(at + "AC/type", "Mains\n");
    fixture.file(at + "hid-mouse/type", "Battery\n");
    fixture.file(at + "hid-mouse/scope", "Device\n");
    fixture.file(at + "hid-mouse/capacity", "10\n");
    CHECK_FALSE(battery_percent(fixture.tree()).has_value());
    fixture.file(at + "BAT0/type", "Battery\n");
    fixture.file(at + "BAT0/capacity", "84\n");
    CHECK(battery_percent(fixture.tree()) == 80U);
    fixture.file(at + "BAT0/capacity", "95\n");
    CHECK(battery_percent(fixture.tree()) == 100U);
    for (const char* bad : {"101\n", "-1\n", "", "5 0\n", "99999999999999999999\n"}) {
        fixture.file(at + "BAT0/capacity", bad);
        CHECK_FALSE(battery_percent(fixture.tree()).has_value());
    }
    // Of two the smaller one's percent says nothing by itself.
    fixture.file(at + "BAT0/capacity", "100\n");
    fixture.file(at + "BAT1/type", "Battery\n");
    fixture.file(at + "BAT1/capacity", "0\n");
    CHECK_FALSE(battery_percent(fixture.tree()).has_value());
    fixture.file(at + "BAT0/energy_now", "10000000\n");
    fixture.file(at + "BAT0/energy_full", "10000000\n");
    fixture.file(at + "BAT1/energy_now", "0\n");
    fixture.file(at + "BAT1/energy_full", "40000000\n");
    CHECK(battery_percent(fixture.tree()) == 20U);
    fixture.file(at + "BAT1/present", "0\n");
    CHECK(battery_percent(fixture.tree()) == 100U);
}

TEST_CASE("the screen is the largest one that is connected, in the mode that it prefers", "[posture]") {
    const FixtureTree fixture;
    const std::string at = "/sys/class/drm/";
    CHECK(screen(fixture.tree()).empty());
    fixture.file(at + "card0-eDP-1/status", "connected\n");
    fixture.file(at + "card0-eDP-1/modes", "1920x1080\n1024x768\n");
    fixture.file(at + "card0-DP-1/status", "disconnected\n");
    fixture.file(at + "card0-DP-1/modes", "7680x4320\n");
    fixture.folder(at + "card0");
    CHECK(screen(fixture.tree()) == "1920x1080");
    fixture.file(at + "card0-HDMI-A-1/status", "connected\n");
    fixture.file(at + "card0-HDMI-A-1/modes", "3840x2160i\n");
    CHECK(screen(fixture.tree()) == "3840x2160");
    for (const char* bad : {"3840x\n", "x2160\n", "0x0\n", "99999x99999\n", "3840X2160\n", "\x1b[2J\n", "-1x5\n"}) {
        fixture.file(at + "card0-HDMI-A-1/modes", bad);
        CHECK(screen(fixture.tree()) == "1920x1080");
    }
    fixture.file(at + "card0-HDMI-A-1/modes", "3840x2160\n" + std::string(5000, '\n'));
    CHECK(screen(fixture.tree()) == "1920x1080");
}

TEST_CASE("the default route is the one of the lowest metric, and its interface's name stays in its folder",
          "[posture]") {
    const std::string any = "00000000";
    CHECK(default_interface(head + route("eth0", "0000A8C0", "0001", "0", "00FFFFFF")).empty());
    CHECK(default_interface(head + route("eth0", any, "0003", "100", any) + route("wlan0", any, "0003", "50", any)) ==
          "wlan0");
    CHECK(default_interface(head + route("eth0", any, "0002", "0", any)).empty());  // not up
    CHECK(default_interface(head + route("*", any, "0203", "0", any)).empty());     // rejects
    for (const char* bad : {"..", ".", "../../x", "an-interface-too-long",
                            "a\x1b"
                            "b"})
        CHECK(default_interface(head + route(bad, any, "0003", "0", any)).empty());
    CHECK(default_interface(std::string(100'000, '\t')).empty());
    const std::string zeros(32, '0');
    CHECK(default_interface_ipv6(zeros + " 00 " + zeros +
                                 " 00 fe80000000000000021122fffe334455 00000400 00000001 "
                                 "00000000 00000003     eth1\n" +
                                 zeros + " 00 " + zeros + " 00 " + zeros +
                                 " ffffffff 00000001 00000000 00200200       lo\n") == "eth1");
}

TEST_CASE("the network's type is that of the hardware behind the default route", "[posture]") {
    const FixtureTree fixture;
    const std::string at = "/sys/class/net/if0";
    CHECK(network_type(fixture.tree()).empty());
    fixture.file("/proc/net/route", head + route("if0", "00000000", "0003", "0", "00000000"));
    CHECK(network_type(fixture.tree()).empty());  // no such interface
    fixture.file(at + "/type", "1\n");
    CHECK(network_type(fixture.tree()) == "other");  // of a container
    fixture.folder(at + "/device");
    CHECK(network_type(fixture.tree()) == "wired");
    fixture.file(at + "/uevent", "DEVTYPE=wwan\nINTERFACE=if0\n");
    CHECK(network_type(fixture.tree()) == "cellular");
    fixture.file(at + "/uevent", "DEVTYPE=wlan\nINTERFACE=if0\n");
    CHECK(network_type(fixture.tree()) == "wireless");
    fixture.file(at + "/uevent", "INTERFACE=if0\n");
    fixture.folder(at + "/wireless");
    CHECK(network_type(fixture.tree()) == "wireless");
    std::filesystem::remove_all(fixture.at(at + "/wireless"));
    fixture.file(at + "/type", "65534\n");
    CHECK(network_type(fixture.tree()) == "other");  // a tunnel
}
