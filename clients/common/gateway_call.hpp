#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/secret.hpp"
#include "clients/common/http_response.hpp"
#include "clients/common/tls_connection.hpp"

namespace usher::clients {

/// One request to the gateway's own JSON API: method, path (no query), token (may be empty) and body (JSON, may be
/// empty).
struct GatewayRequest {
    std::string_view method;
    std::string_view path;
    const base::Secret* token = nullptr;
    std::string_view json_body;
};

struct GatewayAnswer {
    HttpHead head;
    std::string body;
};

/// Sends one request on a connection of its own and reads the answer, whatever its status. At most 30 s; ends at once
/// when `stop` (may be null) is set.
base::Result<GatewayAnswer> call_gateway(const TlsTrust& trust, const Endpoint& gateway, const GatewayRequest& request,
                                         const StopSignal* stop = nullptr);

/// An open tunnel: what `early` holds came before anything that reading the connection gives.
struct Tunnel {
    TlsConnection connection;
    std::string early;
};

/// CONNECT `destination` (RFC 9110 §9.3.6). A refusal is an error in the gateway's own words: permission_denied for
/// 403, unauthenticated for 407, resource_exhausted for 429, unavailable for the rest; all are escaped for a terminal.
/// At most 60 s.
base::Result<Tunnel> open_tunnel(const TlsTrust& trust, const Endpoint& gateway, const Endpoint& destination,
                                 const base::Secret& token, const StopSignal* stop = nullptr);

/// One line, for a person, of an answer that is no success. Pure; used by open_tunnel and tested by itself.
std::string refusal_text(const HttpHead& head, std::string_view body);

}  // namespace usher::clients
