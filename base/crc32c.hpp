#pragma once
#include <cstdint>
#include <span>

namespace usher::base {

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4). `seed` is the value of what came before, 0 at the start. Uses the
/// processor's instruction where there is one.
std::uint32_t crc32c(std::span<const std::uint8_t> bytes, std::uint32_t seed = 0) noexcept;

/// The same value by table, on any processor.
std::uint32_t crc32c_portable(std::span<const std::uint8_t> bytes, std::uint32_t seed = 0) noexcept;

}  // namespace usher::base
