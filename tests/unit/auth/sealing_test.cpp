#include "auth/sealing.hpp"

#include <set>

#include "catch.hpp"

using namespace usher;
using auth::SealingKeys;
using base::Errc;
using base::Secret;

namespace {

SealingKeys keys_of(const std::string& fills) {
    std::vector<Secret> keys;
    for (const char fill : fills) keys.emplace_back(std::string(32, fill));
    auto made = SealingKeys::of(std::move(keys));
    REQUIRE(made.ok());
    return std::move(*made);
}

}  // namespace

TEST_CASE("what was sealed opens under its own context only") {
    const auto keys = keys_of("a");
    const Secret seed(std::string_view("canary-seed-0123456789"));
    const auto sealed = keys.seal(seed, "totp-seed 1");
    CHECK(sealed.key_id == keys.current_id());
    CHECK(sealed.key_id.size() == 16);
    CHECK(sealed.bytes.find("canary") == std::string::npos);
    CHECK(keys.open(sealed, "totp-seed 1")->equals(seed.reveal()));
    CHECK(keys.open(sealed, "totp-seed 2").error().code == Errc::data_loss);
    CHECK(keys.seal(seed, "totp-seed 1").bytes != sealed.bytes);
}

TEST_CASE("a changed byte anywhere, and a cut, are seen") {
    const auto keys = keys_of("a");
    const auto sealed = keys.seal(Secret(std::string_view("seed")), "x");
    for (std::size_t i = 0; i < sealed.bytes.size(); ++i) {
        auto changed = sealed;
        changed.bytes[i] = static_cast<char>(changed.bytes[i] ^ 1);
        CHECK(keys.open(changed, "x").error().code == Errc::data_loss);
        CHECK(keys.open({sealed.key_id, sealed.bytes.substr(0, i)}, "x").error().code == Errc::data_loss);
    }
}

TEST_CASE("the first key seals and every key opens") {
    const auto old_keys = keys_of("a");
    const auto sealed = old_keys.seal(Secret(std::string_view("seed")), "x");
    const auto rotated = keys_of("ba");
    CHECK(rotated.open(sealed, "x")->equals("seed"));
    CHECK(rotated.seal(Secret(std::string_view("seed")), "x").key_id != sealed.key_id);
    const auto without = keys_of("b");
    const auto refused = without.open(sealed, "x");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::failed_precondition);
    CHECK(refused.error().message.find(sealed.key_id) != std::string::npos);
    CHECK_FALSE(without.has(sealed.key_id));
}

TEST_CASE("keys are of 32 bytes, each once, one to eight") {
    const auto refused = [](std::vector<Secret> keys) {
        const auto made = SealingKeys::of(std::move(keys));
        return !made.ok() && made.error().code == Errc::invalid_argument;
    };
    const auto list = [](std::initializer_list<std::string> texts) {
        std::vector<Secret> keys;
        for (const auto& text : texts) keys.emplace_back(std::string_view(text));
        return keys;
    };
    CHECK(refused({}));
    CHECK(refused(list({std::string(31, 'a')})));
    CHECK(refused(list({std::string(33, 'a')})));
    CHECK(refused(list({std::string(32, 'a'), std::string(32, 'a')})));
    std::vector<Secret> many;
    for (char fill = 'a'; fill < 'a' + 9; ++fill) many.emplace_back(std::string(32, fill));
    CHECK(refused(std::move(many)));
}
