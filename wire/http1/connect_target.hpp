#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/net.hpp"
#include "wire/http1/rejection.hpp"

namespace usher::wire::http1 {

/// host[:port] of RFC 3986 §3.2 without userinfo, in canonical form.
struct Authority {
    std::string host;                        ///< canonical name, or the address without brackets
    std::optional<base::IpAddress> address;  ///< set when the host is an address literal
    std::optional<std::uint16_t> port;       ///< 1..65535
};

/// Strict: a DNS name, a dotted quad, or an IPv6 address in brackets without a zone; the port has no sign and no
/// leading zero. Spellings that only resolvers understand ("127.1", "0x7f000001", "2130706433") are refused, and so is
/// everything percent-encoded or beyond ASCII.
std::variant<Authority, Rejection> parse_authority(std::string_view text);

/// The target of a CONNECT in authority-form (RFC 9110 §9.3.6): an authority with its port, which has no default.
std::variant<base::Destination, Rejection> parse_connect_target(std::string_view text);

}  // namespace usher::wire::http1
