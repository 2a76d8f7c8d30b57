#include "auth/totp.hpp"

#include <array>
#include <cstdio>
#include <memory>
#include <random>

#include "catch.hpp"

using namespace usher;
using base::Secret;

namespace {

base::UtcTime at(std::int64_t seconds) { return base::UtcTime{std::chrono::seconds{seconds}}; }

/// The seed of RFC 6238, appendix B.
const Secret& rfc_seed() {
    static const Secret seed(std::string_view("12345678901234567890"));
    return seed;
}

std::string output_of(const std::string& command) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
    REQUIRE(pipe);
    std::array<char, 128> line{};
    REQUIRE(std::fgets(line.data(), static_cast<int>(line.size()), pipe.get()) != nullptr);
    std::string text(line.data());
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

}  // namespace

TEST_CASE("the codes are those of RFC 6238, appendix B") {
    const std::pair<std::int64_t, const char*> vectors[] = {{59, "287082"},         {1111111109, "081804"},
                                                            {1111111111, "050471"}, {1234567890, "005924"},
                                                            {2000000000, "279037"}, {20000000000, "353130"}};
    for (const auto& [seconds, code] : vectors) {
        INFO(seconds);
        CHECK(auth::totp_code(rfc_seed(), auth::totp_step(at(seconds))).reveal() == code);
        CHECK(auth::match_totp(rfc_seed(), code, at(seconds)) == seconds / 30);
    }
}

TEST_CASE("a code is good in its own step, the one before and the one after") {
    const std::int64_t start = 1'111'111'110;  // the first second of a step
    REQUIRE(start % 30 == 0);
    const auto code = auth::totp_code(rfc_seed(), start / 30);
    for (std::int64_t offset : {-30, -1, 0, 29, 30, 59}) {
        INFO(offset);
        CHECK(auth::match_totp(rfc_seed(), code.reveal(), at(start + offset)) == start / 30);
    }
    CHECK_FALSE(auth::match_totp(rfc_seed(), code.reveal(), at(start - 31)));
    CHECK_FALSE(auth::match_totp(rfc_seed(), code.reveal(), at(start + 60)));
}

TEST_CASE("what is no code of six digits matches nothing") {
    const auto now = at(59);
    for (const std::string& text :
         {std::string(), std::string("28708"), std::string("2870820"), std::string("287082 "), std::string(" 287082"),
          std::string("94287082"), std::string("28708\0", 6), std::string("287o82"), std::string(100'000, '2')}) {
        CHECK_FALSE(auth::match_totp(rfc_seed(), text, now));
    }
}

TEST_CASE("seeds and codes at random are what oathtool says") {
    std::mt19937_64 random(20261126);
    for (int i = 0; i < 50; ++i) {
        const auto seed = auth::make_totp_seed();
        REQUIRE(seed.size() == auth::totp_seed_bytes);
        const auto seconds = static_cast<std::int64_t>(random() % 4'000'000'000u);
        const std::string command = "oathtool --totp --base32 --now='@" + std::to_string(seconds) + "' " +
                                    std::string(auth::base32_encode(seed.reveal()).reveal());
        const auto code = output_of(command);
        INFO(seconds);
        CHECK(auth::totp_code(seed, auth::totp_step(at(seconds))).reveal() == code);
    }
}

TEST_CASE("base32 is that of RFC 4648, section 10, without padding") {
    const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                           {"f", "MY"},
                                                           {"fo", "MZXQ"},
                                                           {"foo", "MZXW6"},
                                                           {"foob", "MZXW6YQ"},
                                                           {"fooba", "MZXW6YTB"},
                                                           {"foobar", "MZXW6YTBOI"}};
    for (const auto& [plain, encoded] : vectors) CHECK(auth::base32_encode(plain).reveal() == encoded);
}

TEST_CASE("the URI holds the seed and both names, percent-encoded") {
    const auto uri = auth::totp_uri("Usher at A&B", "alice", rfc_seed());
    CHECK(uri.reveal() ==
          "otpauth://totp/Usher%20at%20A%26B:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Usher%20at%20A%26B"
          "&algorithm=SHA1&digits=6&period=30");
}
