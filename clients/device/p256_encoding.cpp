#include "clients/device/p256_encoding.hpp"

#include <algorithm>

namespace usher::clients::device {

namespace {

constexpr std::size_t number_bytes = 32;

/// A DER INTEGER: no zero in front but the one that keeps it positive (X.690 §8.3).
void append_integer(Bytes& out, std::span<const std::uint8_t> number) {
    while (number.size() > 1 && number.front() == 0) number = number.subspan(1);
    const bool padded = (number.front() & 0x80) != 0;
    out.push_back(0x02);
    out.push_back(static_cast<std::uint8_t>(number.size() + (padded ? 1 : 0)));
    if (padded) out.push_back(0);
    out.insert(out.end(), number.begin(), number.end());
}

bool is_zero(std::span<const std::uint8_t> number) noexcept {
    return std::all_of(number.begin(), number.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

std::span<const std::uint8_t> p256_parameters() noexcept {
    static constexpr std::array<std::uint8_t, 10> oid{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    return oid;
}

std::optional<Bytes> der_signature(std::span<const std::uint8_t> r_and_s) {
    if (r_and_s.size() != 2 * number_bytes) return std::nullopt;
    const auto r = r_and_s.first(number_bytes), s = r_and_s.last(number_bytes);
    if (is_zero(r) || is_zero(s)) return std::nullopt;
    Bytes out{0x30, 0};
    out.reserve(72);
    append_integer(out, r);
    append_integer(out, s);
    out[1] = static_cast<std::uint8_t>(out.size() - 2);  // at most 70, so one byte
    return out;
}

std::optional<P256Point> point_of(std::span<const std::uint8_t> ec_point) noexcept {
    P256Point point{};
    if (ec_point.size() == point.size() + 2 && ec_point[0] == 0x04 && ec_point[1] == point.size())
        ec_point = ec_point.subspan(2);
    if (ec_point.size() != point.size() || ec_point[0] != 0x04) return std::nullopt;
    std::copy(ec_point.begin(), ec_point.end(), point.begin());
    return point;
}

}  // namespace usher::clients::device
