#include "wire/http1/authorization.hpp"

#include <string>

#include "base/text.hpp"
#include "catch.hpp"

using namespace std::string_literals;
using namespace usher::wire::http1;

namespace {

std::string basic(const std::string& pair) {
    return "Basic " + usher::base::base64_encode({reinterpret_cast<const std::uint8_t*>(pair.data()), pair.size()});
}

AuthorizationError error_of(const std::string& value) {
    INFO(value.substr(0, 200));
    const auto parsed = parse_authorization(value);
    REQUIRE(std::holds_alternative<AuthorizationError>(parsed));
    return std::get<AuthorizationError>(parsed);
}

}  // namespace

TEST_CASE("a bearer token is read whatever the case of its scheme") {
    for (const char* scheme : {"Bearer", "bearer", "BEARER"}) {
        const auto parsed = parse_authorization(scheme + " aZ09-._~+/=="s);
        REQUIRE(std::holds_alternative<Bearer>(parsed));
        CHECK(std::get<Bearer>(parsed).token.reveal() == "aZ09-._~+/==");
    }
}

TEST_CASE("basic credentials end their username at the first colon") {
    const auto parsed = parse_authorization(basic("\xc3\xa4lice:pa:ss"));
    REQUIRE(std::holds_alternative<Basic>(parsed));
    CHECK(std::get<Basic>(parsed).username == "\xc3\xa4lice");
    CHECK(std::get<Basic>(parsed).password.reveal() == "pa:ss");
    const auto empty = parse_authorization(basic("alice:"));
    REQUIRE(std::holds_alternative<Basic>(empty));
    CHECK(std::get<Basic>(empty).password.empty());
}

TEST_CASE("credentials that can be read in two ways are refused") {
    for (const auto& value : {"Bearer"s,        "Bearer "s,       "Bearer  a"s,     "Bearer a b"s,      "Bearer a "s,
                              "Bearer ="s,      "Bearer a=b"s,    "Bearer a,b"s,    "Bearer\ta"s,       "Basic"s,
                              "Basic "s,        "Basic !"s,       "Basic YTpi "s,   "Basic YTpi\n"s,    "Basic YTpiCg"s,
                              "Basic YTp="s,    "Basic  YTpi"s,   basic("nocolon"), basic(":password"), basic("a\nb:c"),
                              basic("a:b\0c"s), basic("a:b\x7f"), basic("a:\xff"),  basic("\xc0\x80:a")}) {
        const auto error = error_of(value);
        CHECK((error == AuthorizationError::malformed ||
               (value[6] == '\t' && error == AuthorizationError::unsupported_scheme)));
    }
    CHECK(error_of("") == AuthorizationError::unsupported_scheme);
    CHECK(error_of("Digest username=a") == AuthorizationError::unsupported_scheme);
    CHECK(error_of("Bear a") == AuthorizationError::unsupported_scheme);
    CHECK(error_of("Bearer " + std::string(4096, 'a')) == AuthorizationError::too_long);
    CHECK(std::holds_alternative<Bearer>(parse_authorization("Bearer " + std::string(4089, 'a'))));
}
