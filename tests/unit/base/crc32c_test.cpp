#include "base/crc32c.hpp"

#include <numeric>
#include <string_view>
#include <vector>

#include "catch.hpp"

using namespace usher::base;

namespace {
std::span<const std::uint8_t> bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
}  // namespace

TEST_CASE("CRC-32C gives the values of RFC 3720 appendix B.4") {
    const auto both = [](std::span<const std::uint8_t> bytes, std::uint32_t expected) {
        CHECK(crc32c(bytes) == expected);
        CHECK(crc32c_portable(bytes) == expected);
    };
    both({}, 0);
    both(bytes_of("123456789"), 0xe3069283);
    both(std::vector<std::uint8_t>(32, 0x00), 0x8a9136aa);
    both(std::vector<std::uint8_t>(32, 0xff), 0x62a8ab43);
    std::vector<std::uint8_t> rising(32);
    std::iota(rising.begin(), rising.end(), std::uint8_t{0});
    both(rising, 0x46dd794e);
    std::vector<std::uint8_t> falling(rising.rbegin(), rising.rend());
    both(falling, 0x113fdb5c);
}

TEST_CASE("CRC-32C goes on from a seed, at any cut and alignment") {
    std::vector<std::uint8_t> data(257);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * 37 + 11);
    const std::span<const std::uint8_t> all(data);
    const std::uint32_t whole = crc32c(all);
    for (std::size_t cut = 0; cut <= data.size(); ++cut) {
        CHECK(crc32c(all.subspan(cut), crc32c(all.first(cut))) == whole);
        CHECK(crc32c_portable(all.subspan(cut), crc32c_portable(all.first(cut))) == whole);
        CHECK(crc32c(all.subspan(cut)) == crc32c_portable(all.subspan(cut)));
    }
}
