#include "auth/password_rules.hpp"

#include "catch.hpp"

using namespace usher;
using base::Secret;

namespace {

const auth::PasswordOwner alice{"alice.smith", "Alice Smith\xc3\xb3n", "Finance Department", false};
const auth::PasswordOwner with_factor{"alice.smith", "Alice Smith", "Finance", true};

/// Why it is refused; empty when it is not.
std::string refused(std::string_view password, const auth::PasswordOwner& owner = alice) {
    const auto ok = auth::check_new_password(Secret(password), owner);
    if (ok) return {};
    CHECK(ok.error().code == base::Errc::invalid_argument);
    CHECK(ok.error().message.rfind("password: ", 0) == 0);
    return ok.error().message.substr(10);
}

}  // namespace

TEST_CASE("a password has fifteen characters alone and eight beside a second factor, counted as people do") {
    CHECK(refused("gravel tornadoX").empty());  // 15
    CHECK(refused("gravel tornado") ==
          "has 14 characters, expected at least 15 (8 where the account has a second factor)");
    CHECK(refused("gr tor x", with_factor).empty());
    CHECK(refused("gr tor9", with_factor) == "has 7 characters, expected at least 8");
    // 15 code points of three bytes each; 14 of them are 42 bytes and too few.
    const std::string kanji =
        "\xe6\xad\xa3\xe7\xa2\xba\xe9\xa6\xac\xe9\x9b\xbb\xe6\xb1\xa0\xe5\xb1\xb1\xe5\xb7\x9d\xe6\xb5\xb7"
        "\xe7\xa9\xba\xe8\x8a\xb1\xe9\xb3\xa5\xe9\xa2\xa8\xe6\x9c\x88\xe9\x9b\xaa\xe6\x98\x9f";
    CHECK(auth::code_points(kanji) == 15);
    CHECK(refused(kanji).empty());
    CHECK_FALSE(refused(kanji.substr(3)).empty());
    // An accent of its own is no character more: it is composed before it is counted.
    CHECK_FALSE(refused("gravel tornade\xcc\x81").empty());
}

TEST_CASE("long passwords are taken, up to 1024 bytes, with spaces and any characters") {
    std::string text;
    for (int i = 0; text.size() < 1024; ++i) text += "word" + std::to_string(i * 7919) + " ";
    CHECK(refused(text.substr(0, 128)).empty());
    CHECK(refused(text.substr(0, 1024)).empty());
    CHECK(refused(text.substr(0, 1024) + "x") == "is longer than 1024 bytes");
    CHECK(refused("no upper no digit no sign").empty());
    CHECK(refused("\xf0\x9f\x98\x80 gravel tornado").empty());
    CHECK(refused(std::string("gravel\xff tornado house")) == "is not UTF-8");
}

TEST_CASE("what is guessed first is refused, in any case and with digits and signs around it") {
    const std::string common =
        "is one of those that are guessed first; a few words that have nothing to do with each other are better";
    for (const char* text : {"password", "PassWord", "password1", "iloveyou", "12345678", "qwertyuiop", "Football!"})
        CHECK(refused(text, with_factor) != "");
    CHECK(refused("password", with_factor) == common);
    CHECK(refused("Password2026!!!") == common);
    CHECK(refused("correcthorsebatterystaple") == common);
    CHECK(refused("\xef\xbd\x90\xef\xbd\x81ssword", with_factor) == common);  // full-width letters
    CHECK(refused("password of the old lighthouse").empty());
}

TEST_CASE("repetitions and runs are refused") {
    for (const char* text : {"aaaaaaaaaaaaaaa", "abcabcabcabcabc", "hunter7hunter7hunter7", "PassWordpassword"}) {
        INFO(text);
        CHECK_FALSE(refused(text).empty());
    }
    CHECK(refused("abcabcabcabcabc") == "is a short text again and again");
    for (const char* text : {"abcdefghijklmno", "987654321098765", "0123456789012345", "qwertyuiopasdfgh",
                             "lkjhgfdsapoiuytrewq", "1qaz2wsx3edc4rfv"}) {
        INFO(text);
        CHECK(refused(text) == "is a run of letters, digits or keys");
    }
}

TEST_CASE("the owner's names, the department and the product are no password") {
    const std::string context = "is little more than the account's names, its department or the word \"usher\"";
    for (const char* text : {"alice.smith.2026!", "Alice-Alice-Smith", "usherUSHERusher--1", "finance-usher-99",
                             "FinanceDepartment1", "Smith\xc3\x93N alice usher"}) {
        INFO(text);
        CHECK(refused(text) == context);
    }
    CHECK(refused("alice likes the old lighthouse").empty());
    // Names of one or two letters are in every text.
    CHECK(refused("gravel tornado li", {"li", "Li Wu", "IT", false}).empty());
}

TEST_CASE("whether a password needs a second factor is a matter of its length") {
    CHECK(auth::needs_second_factor(Secret(std::string_view("gr tor x"))));
    CHECK_FALSE(auth::needs_second_factor(Secret(std::string_view("gravel tornadoX"))));
}
