#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace usher::wire::http1 {

/// What every version's parser asks of the parts of a request head. Names are in lower case.

inline constexpr std::size_t longest_method = 16;
inline constexpr std::size_t longest_credentials = 4096;

/// Fields that decide something; a second one would leave it to the reader which of them counts.
bool is_single(std::string_view name) noexcept;
/// Fields whose values are secrets.
bool is_credentials(std::string_view name) noexcept;
/// Methods that may carry content.
bool is_content_method(std::string_view method) noexcept;
/// A path and a query that have one spelling: no fragment, no percent-encoding, backslash, dot segment or empty first
/// segment in the path.
bool is_origin_form(std::string_view target) noexcept;
/// 1 to 18 digits.
std::optional<std::uint64_t> parse_content_length(std::string_view value) noexcept;

}  // namespace usher::wire::http1
