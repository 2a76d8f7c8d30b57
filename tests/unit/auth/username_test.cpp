#include "auth/username.hpp"

#include "catch.hpp"

using namespace usher::auth;

TEST_CASE("a username is compared after NFKC and case folding") {
    const std::pair<const char*, const char*> forms[] = {
        {"Alice", "alice"},
        {"ALICE.B-c_9", "alice.b-c_9"},
        {"\xef\xbc\xa1\xef\xbd\x8c\xef\xbd\x89"
         "ce",
         "alice"},  // full-width A, l, i
        {"\xe2\x84\xaa"
         "urt",
         "kurt"},                             // the Kelvin sign
        {"Ju\xcc\x88rgen", "j\xc3\xbcrgen"},  // u and a combining diaeresis
        {"J\xc3\x9cRGEN", "j\xc3\xbcrgen"},   // U with diaeresis in one
        {"Stra\xc3\x9f"
         "e",
         "strasse"},  // sharp s
        {"\xce\x91\xce\xbb\xce\xad\xce\xbe\xce\xb7\xcf\x82", "\xce\xb1\xce\xbb\xce\xad\xce\xbe\xce\xb7\xcf\x83"},
        {"\xe5\xbc\xa0\xe4\xbc\x9f", "\xe5\xbc\xa0\xe4\xbc\x9f"},  // Han
        {"\xef\xbc\x91", "1"},                                     // a full-width digit
    };
    for (const auto& [typed, canonical] : forms) {
        INFO(typed);
        const auto name = canonical_username(typed);
        REQUIRE(name);
        CHECK(*name == canonical);
        CHECK(canonical_username(*name) == name);
    }
}

TEST_CASE("what is not one name to everybody is none") {
    for (const char* typed : {
             "",
             " alice",
             "alice ",
             "al ice",
             ".alice",
             "-alice",
             "_alice",
             "alice/bob",
             "alice\n",
             "al\xc2\xa0ice",      // a no-break space folds to a space
             "alice\xe2\x80\xae",  // right-to-left override
             "\xcc\x88"
             "alice",         // begins with a mark
             "\xd0\xb0lice",  // Cyrillic a among Latin letters
             "\xce\xb1lice",  // Greek alpha among Latin letters
             "\xe2\x98\x83",  // a snowman
             "\xef\xb7\xba",  // one code point that folds to eighteen with spaces
             "alice\xff",
             "\xc0\xaf",
             "\xed\xa0\x80",      // a surrogate
             "\xd9\xa1\xdb\xb1",  // digits of two systems
         }) {
        INFO(typed);
        CHECK_FALSE(canonical_username(typed));
    }
}

TEST_CASE("a username has at most 64 code points and 200 bytes") {
    const auto repeated = [](std::string_view one, int times) {
        std::string text;
        for (int i = 0; i < times; ++i) text += one;
        return text;
    };
    CHECK(canonical_username(repeated("a", 64)));
    CHECK_FALSE(canonical_username(repeated("a", 65)));
    CHECK(canonical_username(repeated("\xe5\xbc\xa0", 64)));  // 192 bytes
    CHECK_FALSE(canonical_username(repeated("\xe5\xbc\xa0", 65)));
    CHECK_FALSE(canonical_username(repeated("\xf0\xa0\x80\x80", 51)));  // 204 bytes of 51 code points
    CHECK_FALSE(canonical_username(repeated("\xef\xac\x83", 40)));      // a ligature of three letters: 120
    CHECK_FALSE(canonical_username(std::string(100'000, 'a')));
}

TEST_CASE("names of different scripts that look alike are told") {
    const std::string latin = "scope", cyrillic = "\xd1\x95\xd1\x81\xd0\xbe\xd1\x80\xd0\xb5";
    REQUIRE(canonical_username(cyrillic) == cyrillic);
    UsernameLooks looks;
    looks.add("user1");
    CHECK_FALSE(looks.alike("userl"));
    looks.add(latin);
    CHECK(looks.alike(cyrillic) == latin);
    CHECK_FALSE(looks.alike("j\xc3\xbcrgen"));
    looks.add(cyrillic);
    CHECK(looks.alike(latin) == cyrillic);
    CHECK(looks.alike("userl") == std::nullopt);
    looks.add("paypa");  // after names were looked at
    CHECK(looks.alike("\xd1\x80\xd0\xb0\xd1\x83\xd1\x80\xd0\xb0") == "paypa");
}
