#include "clients/common/sign_in.hpp"

#include "catch.hpp"
#include "clients/common/password.hpp"

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

TEST_CASE("a password is the first line without its newline") {
    CHECK(password_line("secret\n")->equals("secret"));
    CHECK(password_line("secret\r\nmore")->equals("secret"));
    CHECK(password_line(" sp ace ")->equals(" sp ace "));
    CHECK(password_line(std::string(1024, 'x')).ok());
    CHECK_FALSE(password_line(std::string(1025, 'x')).ok());
    CHECK_FALSE(password_line("").ok());
    CHECK_FALSE(password_line("\n").ok());
    CHECK_FALSE(password_line(std::string("a\0b", 3)).ok());
}
