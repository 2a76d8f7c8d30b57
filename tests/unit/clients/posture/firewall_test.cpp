#include "clients/posture/firewall.hpp"

#include "clients/posture/fixture_tree.hpp"

using namespace usher::clients;

namespace {

void begin(const FixtureTree& fixture, const std::string& service) {
    fixture.link("/run/systemd/units/invocation:" + service + ".service", "0123456789abcdef0123456789abcdef");
}

}  // namespace

TEST_CASE("ufw is a firewall when it runs and is enabled", "[posture]") {
    const FixtureTree fixture;
    CHECK_FALSE(firewall(fixture.tree()).has_value());
    fixture.file("/etc/ufw/ufw.conf", "# ENABLED=no\nENABLED=yes\nLOGLEVEL=low\n");
    CHECK_FALSE(firewall(fixture.tree()).has_value());
    begin(fixture, "ufw");
    CHECK(firewall(fixture.tree()) == true);
    fixture.file("/etc/ufw/ufw.conf", "ENABLED=yes\nENABLED=no\n");
    CHECK_FALSE(firewall(fixture.tree()).has_value());  // something else may filter
    fixture.file("/etc/ufw/ufw.conf", "ENABLED=yes\n" + std::string(70'000, '#'));
    CHECK_FALSE(firewall(fixture.tree()).has_value());
}

TEST_CASE("firewalld is a firewall when it runs", "[posture]") {
    const FixtureTree fixture;
    begin(fixture, "firewalld");
    CHECK(firewall(fixture.tree()) == true);
}

TEST_CASE("nftables is a firewall when it runs and its rules drop something", "[posture]") {
    const FixtureTree fixture;
    begin(fixture, "nftables");
    CHECK_FALSE(firewall(fixture.tree()).has_value());
    fixture.file("/etc/nftables.conf",
                 "table inet filter {\n  chain input { # drop\n    type filter hook input priority 0;\n"
                 "    log prefix \"drop: \"\n    jump dropping\n  }\n}\n");
    CHECK_FALSE(firewall(fixture.tree()).has_value());
    fixture.file("/etc/nftables.conf", "chain input { type filter hook input priority 0; policy drop; }\n");
    CHECK(firewall(fixture.tree()) == true);
    fixture.file("/etc/nftables.conf", "ip saddr 10.0.0.0/8 reject");
    CHECK(firewall(fixture.tree()) == true);
}

TEST_CASE("no firewall is known only of a kernel that has no filter", "[posture]") {
    const FixtureTree fixture;
    fixture.file("/proc/modules", "e1000e 331776 0 - Live 0x0\nnf_tables_other 1 0 - Live 0x0\n");
    fixture.file("/proc/sys/kernel/osrelease", "6.1.0-28-amd64\n");
    CHECK_FALSE(firewall(fixture.tree()).has_value());  // what is built in is not told
    const std::string builtin = "/lib/modules/6.1.0-28-amd64/modules.builtin";
    fixture.file(builtin, "kernel/fs/ext4/ext4.ko\n");
    CHECK(firewall(fixture.tree()) == false);
    fixture.file(builtin, "kernel/net/netfilter/nf_tables.ko\n");
    CHECK_FALSE(firewall(fixture.tree()).has_value());
    fixture.file(builtin, "kernel/fs/ext4/ext4.ko\n");
    fixture.file("/proc/modules", "ip_tables 36864 0 - Live 0x0\n");
    CHECK_FALSE(firewall(fixture.tree()).has_value());
    fixture.file("/proc/modules", "e1000e 331776 0 - Live 0x0\n");
    fixture.file("/proc/sys/kernel/osrelease", "../6.1.0-28-amd64\n");
    CHECK_FALSE(firewall(fixture.tree()).has_value());
}
