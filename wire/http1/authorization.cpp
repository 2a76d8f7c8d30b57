#include "wire/http1/authorization.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "wire/http1/characters.hpp"

namespace usher::wire::http1 {
namespace {

constexpr std::size_t longest_value = 4096;

/// b64token of RFC 6750 §2.1.
bool is_b64token(std::string_view text) noexcept {
    while (!text.empty() && text.back() == '=') text.remove_suffix(1);
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return is_alpha(c) || is_digit(c) || std::string_view("-._~+/").find(c) != std::string_view::npos;
    });
}

bool has_control(std::string_view text) noexcept {
    return std::any_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
}

std::variant<Bearer, Basic, AuthorizationError> parse_basic(std::string_view encoded) {
    auto decoded = base::base64_decode(encoded);
    if (!decoded) return AuthorizationError::malformed;
    // From here on the secret owns the text, so that every way out wipes it.
    const base::Secret pair(std::move(*decoded));
    const auto text = pair.reveal();
    const auto colon = text.find(':');
    if (colon == 0 || colon == std::string_view::npos || has_control(text) || !base::is_utf8(text)) {
        return AuthorizationError::malformed;
    }
    return Basic{std::string(text.substr(0, colon)), base::Secret(text.substr(colon + 1))};
}

}  // namespace

std::variant<Bearer, Basic, AuthorizationError> parse_authorization(std::string_view value) {
    if (value.size() > longest_value) return AuthorizationError::too_long;
    const auto space = value.find(' ');
    const auto scheme = value.substr(0, space);
    const auto credentials = space == std::string_view::npos ? std::string_view() : value.substr(space + 1);
    if (equals_lower(scheme, "bearer")) {
        if (!is_b64token(credentials)) return AuthorizationError::malformed;
        return Bearer{base::Secret(credentials)};
    }
    if (equals_lower(scheme, "basic")) return parse_basic(credentials);
    return AuthorizationError::unsupported_scheme;
}

}  // namespace usher::wire::http1
