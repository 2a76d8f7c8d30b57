#pragma once
#include <string>
#include <string_view>
#include <variant>

#include "base/secret.hpp"

namespace usher::wire::http1 {

/// Credentials of RFC 6750 §2.1.
struct Bearer {
    base::Secret token;
};

/// Credentials of RFC 7617, in UTF-8. For a tunnel the password is the session's token.
struct Basic {
    std::string username;
    base::Secret password;
};

enum class AuthorizationError {
    too_long,            ///< more than 4 KiB
    unsupported_scheme,  ///< neither Bearer nor Basic: challenge again
    malformed,           ///< the scheme is known, its credentials cannot be read
};

/// Reads the value of Authorization or Proxy-Authorization. Strict: one space after the scheme (whose case does not
/// matter), a b64token, or padded base64 of UTF-8 text without control characters whose first colon ends a username
/// that is not empty.
std::variant<Bearer, Basic, AuthorizationError> parse_authorization(std::string_view value);

}  // namespace usher::wire::http1
