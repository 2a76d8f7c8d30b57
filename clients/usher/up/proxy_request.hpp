#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/net.hpp"
#include "wire/http1/rejection.hpp"

namespace usher::clients::agent {

constexpr std::size_t proxy_head_limit_bytes = 64 * 1024;

/// How much of what a program sends behind a request's head belongs to the request (RFC 9112 §6).
struct BodyFraming {
    enum class Kind { none, length, chunked };
    Kind kind = Kind::none;
    std::uint64_t length = 0;  ///< of Kind::length
    friend bool operator==(const BodyFraming&, const BodyFraming&) = default;
};

/// CONNECT: from the answer on the connection is a tunnel.
struct ConnectRequest {
    base::Destination destination;
};
/// A request in absolute-form for another server, for http only, as a proxy hands it on (RFC 9112 §3.2.2, RFC 9110
/// §7.6.1): origin-form, its own Host, Connection: close, and nothing that was meant for the proxy.
struct ForwardRequest {
    base::Destination destination;
    std::string head;
    BodyFraming body;
};
/// A request in origin-form, for the agent itself.
struct LocalRequest {
    std::string method;
    std::string path;
    std::vector<std::pair<std::string, std::string>> fields;  ///< names in lower case
    /// The value of the only field of that name; else empty.
    std::string_view field(std::string_view lower_name) const noexcept;
};

using ProxyRequest = std::variant<ConnectRequest, ForwardRequest, LocalRequest, wire::http1::Rejection>;

/// Reads one whole head, with the empty line that ends it, as a proxy of one program. As strict as the gateway is in
/// what decides where bytes go and where a request ends (CRLF, one framing, a destination with one spelling); what is
/// only passed on (a path, an unknown field) need only be a valid field or target. Pure.
ProxyRequest parse_proxy_request(std::string_view head);

}  // namespace usher::clients::agent
