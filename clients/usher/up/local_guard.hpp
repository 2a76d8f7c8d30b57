#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "clients/usher/up/proxy_request.hpp"

namespace usher::clients::agent {

/// An answer of the agent itself: a status and one line.
struct LocalRefusal {
    int status = 403;
    std::string words;
};

/// Judges a request to the agent itself; nullopt: it is GET /proxy.pac and may be answered. Any web page can make a
/// browser send requests to a loopback port, and a name of its own may resolve to 127.0.0.1 (DNS rebinding), so: Host
/// is a loopback address or "localhost" with this port, there is no Origin, and Sec-Fetch-Site, where a browser sends
/// it, tells of no other site. Pure.
std::optional<LocalRefusal> refuse_local(const LocalRequest& request, std::uint16_t port);

}  // namespace usher::clients::agent
