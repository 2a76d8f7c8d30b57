#include "base/ids.hpp"

#include <sodium.h>

#include <algorithm>

namespace usher::base {
namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

constexpr bool is_hyphen_place(std::size_t i) noexcept { return i == 8 || i == 13 || i == 18 || i == 23; }

}  // namespace

std::string Uuid::to_string() const {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(36);
    for (const std::uint8_t byte : bytes) {
        if (is_hyphen_place(out.size())) out += '-';
        out += digits[byte >> 4];
        out += digits[byte & 0xf];
    }
    return out;
}

std::optional<Uuid> Uuid::parse(std::string_view text) noexcept {
    if (text.size() != 36) return std::nullopt;
    Uuid id;
    std::size_t nibble = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_hyphen_place(i)) {
            if (text[i] != '-') return std::nullopt;
            continue;
        }
        const int digit = hex_digit(text[i]);
        if (digit < 0) return std::nullopt;
        std::uint8_t& byte = id.bytes[nibble / 2];
        byte = static_cast<std::uint8_t>((byte << 4) | digit);
        ++nibble;
    }
    return id;
}

Uuid make_uuid_v7(UtcTime now, std::span<const std::uint8_t, 10> random) noexcept {
    // A clock before 1970 has no place in the format; such ids sort first.
    const auto ms = static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count()));
    Uuid id;
    for (std::size_t i = 0; i < 6; ++i) id.bytes[i] = static_cast<std::uint8_t>(ms >> (40 - 8 * i));
    std::copy(random.begin(), random.end(), id.bytes.begin() + 6);
    id.bytes[6] = static_cast<std::uint8_t>(0x70 | (id.bytes[6] & 0x0f));
    id.bytes[8] = static_cast<std::uint8_t>(0x80 | (id.bytes[8] & 0x3f));
    return id;
}

Uuid new_uuid(const Clock& clock) {
    std::array<std::uint8_t, 10> random;
    random_bytes(random);
    return make_uuid_v7(clock.utc(), random);
}

void random_bytes(std::span<std::uint8_t> out) noexcept {
    // libsodium asks to be initialised before the first use; it ends the program where the kernel has no randomness.
    [[maybe_unused]] static const int initialised = sodium_init();
    if (!out.empty()) randombytes_buf(out.data(), out.size());
}

}  // namespace usher::base
