#include "clients/device/token_uri.hpp"

#include "catch.hpp"
#include "clients/device/device_store.hpp"
#include "clients/device/token_device_key.hpp"

using namespace usher::clients::device;
using namespace std::string_literals;

TEST_CASE("a PKCS#11 URI says which token, which key, which module and where the PIN is") {
    const auto uri = TokenUri::parse(
        "pkcs11:token=My%20card;object=laptop;serial=0a1b?module-path=/usr/lib/x.so&pin-source=file:/home/a/pin");
    REQUIRE(uri.ok());
    CHECK(uri->label() == "laptop");
    CHECK_FALSE(uri->id());
    CHECK(uri->module_path() == "/usr/lib/x.so");
    CHECK(uri->pin_file() == "/home/a/pin");
    CHECK(uri->shown().find("My%20card") != std::string::npos);
    CHECK(uri->shown().find('?') == std::string::npos);
    CHECK(uri->shown_token().find("laptop") == std::string::npos);
    for (const char* same : {"pkcs11:token=a?pin-source=/p", "PKCS11:token=a?pin-source=file:///p"}) {
        const auto other = TokenUri::parse(same);
        REQUIRE(other.ok());
        CHECK(other->pin_file() == "/p");
    }
}

TEST_CASE("a key's URI names its id and label, and is read as it was written") {
    const auto token = TokenUri::parse("pkcs11:token=t;object=old?module-path=/m.so&pin-source=/p%26q");
    REQUIRE(token.ok());
    const std::string id("\x00\xff;?&%/ \n", 9);
    const TokenUri key = token->with_key("a;b?c", id);
    CHECK(token->label() == "old");  // the token's URI stays as it is
    const auto again = TokenUri::parse(key.text());
    REQUIRE(again.ok());
    CHECK(again->label() == "a;b?c");
    CHECK(again->id() == id);
    CHECK(again->module_path() == "/m.so");
    CHECK(again->pin_file() == "/p&q");
    CHECK(again->token_name() == token->token_name());
    CHECK(again->text() == key.text());
}

TEST_CASE("two modules or two tokens are not the same token") {
    const auto name = [](const char* text) { return TokenUri::parse(text)->token_name(); };
    CHECK(name("pkcs11:token=a") == name("pkcs11:token=a;object=x?pin-source=/p"));
    CHECK(name("pkcs11:token=a") != name("pkcs11:token=b"));
    CHECK(name("pkcs11:token=a?module-path=/x.so") != name("pkcs11:token=a?module-path=/y.so"));
    CHECK(name("pkcs11:token=a?module-name=x") != name("pkcs11:token=a?module-path=/x"));
}

TEST_CASE("a URI that could be read in two ways, or with a secret in it, is refused and says what to write") {
    const std::vector<std::pair<std::string, std::string>> refused{
        {"", "no PKCS#11 URI"},
        {"file", "no PKCS#11 URI"},
        {"pkcs11", "no PKCS#11 URI"},
        {"pkcs11:", "names no token"},
        {"pkcs11:object=x", "names no token"},
        {"pkcs11:token=", "has no value"},
        {"pkcs11:token", "has no value"},
        {"pkcs11:token=a;tokn=b", "did you mean 'token'?"},
        {"pkcs11:token=a;token=b", "is there twice"},
        {"pkcs11:token=a;x-vendor=1", "is not known"},
        {"pkcs11:token=a?pin-sorce=/p", "did you mean 'pin-source'?"},
        {"pkcs11:token=a?pin-source=/p&pin-source=/q", "is there twice"},
        {"pkcs11:token=a?pin-value=1234", "would show the PIN"},
        {"pkcs11:token=a;pin-value=1234", "would show the PIN"},
        {"pkcs11:token=a?pin-source=%7Ccat%20/p", "names a command"},
        {"pkcs11:token=a?pin-source=p", "whole path"},
        {"pkcs11:token=a?pin-source=file:p", "whole path"},
        {"pkcs11:token=a?pin-source=file://host/p", "whole path"},
        {"pkcs11:token=a?pin-source=file:/a%2525b", "percent sign"},
        {"pkcs11:token=a?module-path=x.so", "whole path"},
        {"pkcs11:token=a b", "blank"},
        {"pkcs11:token=a\nb", "blank"},
        {"pkcs11:token=a\0b"s, "blank"},
        {"pkcs11:token=\xc3\xa9", "blank"},
        {"pkcs11:token=a%zz", "RFC 7512"},
        {"pkcs11:token=a%", "RFC 7512"},
        {"pkcs11:token=" + std::string(33, 'a'), "longer than PKCS#11"},
        {"pkcs11:token=a;type=cert", "'private'"},
        {"pkcs11:token=a;object=" + std::string(3000, 'x'), "2,048"},
    };
    for (const auto& [text, words] : refused) {
        CAPTURE(text);
        const auto uri = TokenUri::parse(text);
        REQUIRE_FALSE(uri.ok());
        CHECK(uri.error().message.find(words) != std::string::npos);
        CHECK(uri.error().message.find("1234") == std::string::npos);
    }
}

TEST_CASE("a key is made in a file or on a token, and its id is not its user's to say") {
    const auto file = parse_key_place("file");
    REQUIRE(file.ok());
    CHECK_FALSE(file->has_value());
    const auto token = parse_key_place("pkcs11:token=a");
    REQUIRE(token.ok());
    CHECK(token->has_value());
    CHECK_FALSE(parse_key_place("pkcs11:token=a;id=%01").ok());
    CHECK_FALSE(parse_key_place("/home/alice/key").ok());
    CHECK_FALSE(parse_key_place("").ok());
}

TEST_CASE("a stored reference is one URI of one key, and nothing beside it") {
    const auto good =
        TokenDeviceKey::parse_reference("pkcs11:token=a;object=usher;id=%01%02;type=private?pin-source=/p\n");
    REQUIRE(good.ok());
    CHECK(good->id() == "\x01\x02");
    for (const std::string& bad :
         {"pkcs11:token=a;object=usher\n"s, "pkcs11:token=a;id=%01\n"s, "pkcs11:token=a;object=u;id=%01\n\n"s,
          "pkcs11:token=a;object=u;id=%01\npkcs11:token=b;object=u;id=%01\n"s, "pkcs11:token=a;object=u;id=%01\0"s,
          "pkcs11:token=a;object=u;id=%01?pin-value=1\n"s, "pkcs11:token=a;object=u;id=\n"s, ""s,
          "pkcs11:token=a;object=u;id=%01"s + std::string(5000, ';')}) {
        CAPTURE(bad);
        const auto uri = TokenDeviceKey::parse_reference(bad);
        REQUIRE_FALSE(uri.ok());
        CHECK(uri.error().code == usher::base::Errc::data_loss);
    }
}
