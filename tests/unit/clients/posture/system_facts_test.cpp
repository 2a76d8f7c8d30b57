#include "clients/posture/system_facts.hpp"

#include <sys/stat.h>

#include "clients/posture/fixture_tree.hpp"

using namespace usher::clients;

TEST_CASE("what is too long, no file or a pipe is not read, and nothing waits for it", "[posture]") {
    const FixtureTree fixture;
    const auto tree = fixture.tree();
    fixture.file("/etc/exact", std::string(100, 'x'));
    CHECK(tree.read("/etc/exact", 100).has_value());
    CHECK_FALSE(tree.read("/etc/exact", 99).has_value());
    CHECK_FALSE(tree.read("/etc", 100).has_value());
    CHECK_FALSE(tree.read("/etc/none", 100).has_value());
    REQUIRE(::mkfifo(fixture.at("/etc/pipe").c_str(), 0600) == 0);
    CHECK_FALSE(tree.read("/etc/pipe", 100).has_value());
    fixture.link("/etc/round", "round");
    CHECK_FALSE(tree.read("/etc/round", 100).has_value());
    CHECK(tree.exists("/etc/round"));
    fixture.file("/etc/long-line", std::string(5000, 'x'));
    CHECK(tree.line("/etc/long-line").empty());
    fixture.file("/etc/line", "one \t\r\ntwo\n");
    CHECK(tree.line("/etc/line") == "one");
}

TEST_CASE("a folder that is not there is empty, one with too many entries is not known", "[posture]") {
    const FixtureTree fixture;
    CHECK(fixture.tree().list("/none")->empty());
    for (int i = 0; i < 512; ++i) fixture.file("/many/" + std::to_string(i), "");
    CHECK(fixture.tree().list("/many")->size() == 512);
    fixture.file("/many/one-more", "");
    CHECK_FALSE(fixture.tree().list("/many").has_value());
    fixture.file("/file", "");
    CHECK_FALSE(fixture.tree().list("/file").has_value());
}

TEST_CASE("a value is short, printable UTF-8, and never cut", "[posture]") {
    CHECK(posture_value("Zürich") == "Zürich");
    CHECK(posture_value(std::string(200, 'x')).size() == 200);
    CHECK(posture_value(std::string(201, 'x')).empty());
    for (const char* bad : {"a\nb", "\x1b[2J", "\x7f", "\xff", "\xc2\x85", "\xe2\x80\xae", "\xed\xa0\x80"})
        CHECK(posture_value(bad).empty());
}

TEST_CASE("the system's name and version are words of os-release", "[posture]") {
    const FixtureTree fixture;
    CHECK(system_name(fixture.tree()).id.empty());
    fixture.file("/usr/lib/os-release", "ID=fallback\n");
    CHECK(system_name(fixture.tree()).id == "fallback");
    fixture.file("/etc/os-release", "PRETTY_NAME=\"x\"\nVERSION_ID=\"12\"\nID=debian\nID_LIKE=other\n");
    CHECK(system_name(fixture.tree()).id == "debian");
    CHECK(system_name(fixture.tree()).version == "12");
    CHECK(os_release_word("ID='one'\nID=two", "ID") == "two");
    CHECK(os_release_word("VERSION_ID=22.04\r\n", "VERSION_ID") == "22.04");
    CHECK(os_release_word("BUILD_ID=rolling\n", "VERSION_ID").empty());
    for (const char* bad : {"ID=de bian", "ID=\"a\x1b[2J\"", "ID=$(x)", "ID=\\n", "ID=", "IDX=a", "ID=\xff"})
        CHECK(os_release_word(bad, "ID").empty());
    CHECK(os_release_word("ID=" + std::string(201, 'x'), "ID").empty());
    fixture.file("/etc/os-release", "ID=debian\n" + std::string(20'000, '#'));
    fixture.file("/usr/lib/os-release", "");
    CHECK(system_name(fixture.tree()).id.empty());
}

TEST_CASE("a machine id is 32 characters of lower-case hexadecimal, and not all zeros", "[posture]") {
    const FixtureTree fixture;
    CHECK(machine_id(fixture.tree()).empty());
    fixture.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    CHECK(machine_id(fixture.tree()) == "0123456789abcdef0123456789abcdef");
    for (const std::string& bad :
         {std::string("uninitialized\n"), std::string(), std::string(32, '0'), std::string(31, 'a'),
          std::string(33, 'a'), std::string("0123456789ABCDEF0123456789abcdef"), std::string(31, 'a') + "g"}) {
        fixture.file("/etc/machine-id", bad);
        CHECK(machine_id(fixture.tree()).empty());
    }
}

TEST_CASE("the time zone is where /etc/localtime leads, or what /etc/timezone says", "[posture]") {
    const FixtureTree fixture;
    CHECK(time_zone(fixture.tree()).empty());
    fixture.file("/etc/timezone", "Europe/Berlin\n");
    CHECK(time_zone(fixture.tree()) == "Europe/Berlin");
    fixture.link("/etc/localtime", "../usr/share/zoneinfo/America/Argentina/Buenos_Aires");
    CHECK(time_zone(fixture.tree()) == "America/Argentina/Buenos_Aires");
    fixture.link("/etc/localtime", "/usr/share/zoneinfo/Etc/GMT+5");
    CHECK(time_zone(fixture.tree()) == "Etc/GMT+5");
    fixture.link("/etc/localtime", "/usr/share/zoneinfo/../../\x1b[2J");
    CHECK(time_zone(fixture.tree()).empty());
    fixture.link("/etc/localtime", "/home/somebody/zone");  // names none
    CHECK(time_zone(fixture.tree()) == "Europe/Berlin");
    fixture.file("/etc/timezone", "../../etc/passwd\n");
    CHECK(time_zone(fixture.tree()).empty());
}
