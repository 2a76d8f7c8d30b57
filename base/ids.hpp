#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace usher::base {

/// A 128-bit UUID (RFC 9562). Text form: 36 lower-case characters.
struct Uuid {
    std::array<std::uint8_t, 16> bytes{};

    friend bool operator==(const Uuid&, const Uuid&) = default;
    friend auto operator<=>(const Uuid&, const Uuid&) = default;
    bool is_nil() const noexcept { return *this == Uuid{}; }
    std::string to_string() const;
    /// Accepts exactly the 36-character form, either case; anything else is nullopt.
    static std::optional<Uuid> parse(std::string_view text) noexcept;
};

/// A version 7 UUID (RFC 9562 §5.7): 48 bits of milliseconds of `now`, then 74 random bits. Pure.
Uuid make_uuid_v7(UtcTime now, std::span<const std::uint8_t, 10> random) noexcept;

/// A version 7 UUID of the clock and the operating system's randomness. Thread-safe.
Uuid new_uuid(const Clock& clock);

/// Fills `out` from the operating system's randomness (libsodium). Thread-safe; cannot fail.
void random_bytes(std::span<std::uint8_t> out) noexcept;

}  // namespace usher::base

template <>
struct std::hash<usher::base::Uuid> {
    std::size_t operator()(const usher::base::Uuid& id) const noexcept {
        // The last eight bytes are random in version 7.
        std::uint64_t h = 0;
        for (int i = 8; i < 16; ++i) h = (h << 8) | id.bytes[static_cast<std::size_t>(i)];
        return static_cast<std::size_t>(h);
    }
};
