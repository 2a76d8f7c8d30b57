#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bench {

inline constexpr std::size_t pattern_bytes = 256 * 1024;

/// What flows: 256 KiB without a short period, over and over.
inline const std::string& pattern() {
    static const std::string bytes = [] {
        std::string made(pattern_bytes, '\0');
        std::uint64_t x = 0x9e3779b97f4a7c15U;
        for (char& c : made) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            c = static_cast<char>(x >> 32);
        }
        return made;
    }();
    return bytes;
}

/// The bytes from `offset` of the endless pattern to the end of its period.
inline std::string_view pattern_from(std::uint64_t offset) {
    return std::string_view(pattern()).substr(offset % pattern_bytes);
}

}  // namespace bench
