#include "clients/posture/device_claims.hpp"

#include <unistd.h>

#include <array>

#include "clients/posture/fixture_tree.hpp"

using namespace usher::clients;

TEST_CASE("a locale becomes a language tag") {
    CHECK(language_of_locale("de_DE.UTF-8") == "de-DE");
    CHECK(language_of_locale("sr_RS@latin") == "sr-RS");
    CHECK(language_of_locale("en") == "en");
    CHECK(language_of_locale("C").empty());
    CHECK(language_of_locale("C.UTF-8").empty());
    CHECK(language_of_locale("POSIX").empty());
    CHECK(language_of_locale("\x1b[2J").empty());
    CHECK(language_of_locale("").empty());
}

TEST_CASE("the name of the system comes from os-release") {
    CHECK(pretty_os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nX=y\n") ==
          "Debian GNU/Linux 12 (bookworm)");
    CHECK(pretty_os_name("PRETTY_NAME=Plain") == "Plain");
    CHECK(pretty_os_name("NAME=x\n").empty());
    CHECK(pretty_os_name("").empty());
}

TEST_CASE("a device's names are those of its system", "[posture]") {
    const FixtureTree fixture;
    fixture.file("/sys/class/dmi/id/sys_vendor", "LENOVO  \n");
    fixture.file("/sys/class/dmi/id/product_name", "20\x1b[2JXW\n");
    fixture.file("/usr/lib/os-release", "NAME=Debian\nPRETTY_NAME='Debian GNU/Linux 12 (bookworm)'\n");
    ::setenv("LC_ALL", "de_DE.UTF-8", 1);
    const auto claims = device_claims(fixture.tree());
    ::unsetenv("LC_ALL");
    CHECK(claims.device_id.empty());
    CHECK(claims.brand == "LENOVO");
    CHECK(claims.model.empty());  // what is no text is not told
    CHECK(claims.os == "Debian GNU/Linux 12 (bookworm)");
    CHECK(claims.language == "de-DE");
    std::array<char, 256> host{};
    REQUIRE(::gethostname(host.data(), host.size() - 1) == 0);
    CHECK(claims.name == host.data());
}
