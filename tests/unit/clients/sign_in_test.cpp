#include "clients/common/sign_in.hpp"

#include "catch.hpp"
#include "clients/common/password.hpp"

using namespace usher::clients;

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
