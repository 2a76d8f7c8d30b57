#include "base/ids.hpp"

#include <set>

#include "base/text.hpp"
#include "catch.hpp"

using namespace usher::base;

TEST_CASE("a version 7 UUID holds the time and the random bits of RFC 9562's example") {
    // RFC 9562 appendix A.6: 2022-02-22 19:22:22 UTC.
    const std::array<std::uint8_t, 10> random{0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
    const auto id = make_uuid_v7(from_micros(0x017F22E279B0 * 1000LL + 999), random);
    CHECK(id.to_string() == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

TEST_CASE("only the version and variant bits are taken from the randomness") {
    std::array<std::uint8_t, 10> random;
    random.fill(0xff);
    CHECK(make_uuid_v7(from_micros(0), random).to_string() == "00000000-0000-7fff-bfff-ffffffffffff");
    random.fill(0);
    CHECK(make_uuid_v7(from_micros(-5'000'000), random).to_string() == "00000000-0000-7000-8000-000000000000");
}

TEST_CASE("UUIDs sort by their time and do not repeat") {
    ManualClock clock(from_micros(1'700'000'000'000'000));
    std::set<Uuid> seen;
    Uuid last;
    for (int i = 0; i < 1000; ++i) {
        const Uuid id = new_uuid(clock);
        CHECK(last < id);
        CHECK(seen.insert(id).second);
        last = id;
        clock.advance(Microseconds{1000});
    }
}

TEST_CASE("a UUID is read in its one form only") {
    const auto id = Uuid::parse("017F22e2-79b0-7cc3-98c4-dc0c0c07398F");
    REQUIRE(id);
    CHECK(id->to_string() == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    CHECK(Uuid::parse("00000000-0000-0000-0000-000000000000")->is_nil());
    for (const char* bad : {"", "017f22e279b07cc398c4dc0c0c07398f", "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
                            "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
                            "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", "017f22e2079b0-7cc3-98c4-dc0c0c07398f",
                            "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f", " 17f22e2-79b0-7cc3-98c4-dc0c0c07398f"})
        CHECK_FALSE(Uuid::parse(bad));
}

TEST_CASE("random bytes fill what they are given") {
    std::array<std::uint8_t, 64> a{};
    std::array<std::uint8_t, 64> b{};
    random_bytes(a);
    random_bytes(b);
    CHECK(a != b);
    random_bytes({});
}
