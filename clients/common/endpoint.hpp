#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::clients {

/// A host and a port as somebody wrote them, checked and canonical.
struct Endpoint {
    std::string host;  ///< a lower-case name, or an address without brackets
    std::uint16_t port = 0;

    /// "host:port", with brackets around an IPv6 address.
    std::string to_string() const;
    bool is_loopback_address() const noexcept;  ///< an address literal of 127.0.0.0/8 or ::1; a name never is
    friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// "host:port", "192.0.2.1:443" or "[2001:db8::1]:443". The port is 1..65535, or 0 too where `allow_port_zero`.
base::Result<Endpoint> parse_endpoint(std::string_view text, bool allow_port_zero = false);

/// One `usher forward` argument, "LOCAL=HOST:PORT". LOCAL is an address and a port, or a port alone (then on
/// 127.0.0.1); port 0 takes a free one. "localhost" stands for 127.0.0.1.
struct ForwardRule {
    Endpoint local;
    Endpoint destination;
};
base::Result<ForwardRule> parse_forward_rule(std::string_view text);

}  // namespace usher::clients
