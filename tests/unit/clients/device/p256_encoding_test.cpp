#include "clients/device/p256_encoding.hpp"

#include "catch.hpp"

using namespace usher::clients::device;

namespace {

Bytes numbers(std::uint8_t r_first, std::uint8_t r_last, std::uint8_t s_first, std::uint8_t s_last) {
    Bytes raw(64, 0);
    raw[0] = r_first;
    raw[31] = r_last;
    raw[32] = s_first;
    raw[63] = s_last;
    return raw;
}

}  // namespace

TEST_CASE("r and s become the shortest DER integers") {
    // Small numbers lose their zeros, and a first bit that is set gets one in front.
    CHECK(der_signature(numbers(0, 1, 0, 0x7f)) == Bytes{0x30, 6, 2, 1, 1, 2, 1, 0x7f});
    CHECK(der_signature(numbers(0, 0x80, 0, 1)) == Bytes{0x30, 7, 2, 2, 0, 0x80, 2, 1, 1});
    const auto longest = der_signature(numbers(0x80, 0, 0xff, 0));
    REQUIRE(longest);
    REQUIRE(longest->size() == 72);
    CHECK(Bytes(longest->begin(), longest->begin() + 6) == Bytes{0x30, 70, 2, 33, 0, 0x80});
    const auto plain = der_signature(numbers(0x7f, 0, 1, 0));
    REQUIRE(plain);
    CHECK(plain->size() == 70);
}

TEST_CASE("what is no pair of numbers is no signature") {
    CHECK_FALSE(der_signature({}));
    CHECK_FALSE(der_signature(Bytes(63, 1)));
    CHECK_FALSE(der_signature(Bytes(65, 1)));
    CHECK_FALSE(der_signature(Bytes(64, 0)));
    CHECK_FALSE(der_signature(numbers(1, 1, 0, 0)));
    CHECK_FALSE(der_signature(numbers(0, 0, 1, 1)));
}

TEST_CASE("a public point is read with its octet string around it and without") {
    Bytes raw(65, 7);
    raw[0] = 4;
    const auto plain = point_of(raw);
    REQUIRE(plain);
    Bytes wrapped{4, 65};
    wrapped.insert(wrapped.end(), raw.begin(), raw.end());
    CHECK(point_of(wrapped) == plain);
}

TEST_CASE("a point that is compressed, of another curve or cut off is none") {
    CHECK_FALSE(point_of({}));
    CHECK_FALSE(point_of(Bytes(33, 2)));
    CHECK_FALSE(point_of(Bytes(65, 2)));
    CHECK_FALSE(point_of(Bytes(97, 4)));
    CHECK_FALSE(point_of(Bytes(66, 4)));
    CHECK_FALSE(point_of(Bytes(67, 4)));  // an octet string of four bytes
    Bytes compressed(67, 2);
    compressed[0] = 4;
    compressed[1] = 65;
    CHECK_FALSE(point_of(compressed));
}
