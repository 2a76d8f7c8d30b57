#include "clients/usher/up/local_guard.hpp"

#include <algorithm>

#include "clients/common/endpoint.hpp"
#include "wire/http1/connect_target.hpp"

namespace usher::clients::agent {
namespace {

bool has(const LocalRequest& request, std::string_view name) {
    return std::any_of(request.fields.begin(), request.fields.end(),
                       [name](const auto& field) { return field.first == name; });
}

bool names_loopback(std::string_view host, std::uint16_t port) {
    const auto authority = wire::http1::parse_authority(host);
    const auto* parsed = std::get_if<wire::http1::Authority>(&authority);
    if (parsed == nullptr || parsed->port.value_or(80) != port) return false;
    return parsed->host == "localhost" || Endpoint{parsed->host, port}.is_loopback_address();
}

}  // namespace

std::optional<LocalRefusal> refuse_local(const LocalRequest& request, std::uint16_t port) {
    if (!names_loopback(request.field("host"), port))
        return LocalRefusal{403, "this is Usher's local proxy; it answers under its loopback address only"};
    if (has(request, "origin")) return LocalRefusal{403, "web pages have no business here"};
    if (has(request, "sec-fetch-site") && request.field("sec-fetch-site") != "none" &&
        request.field("sec-fetch-site") != "same-origin")
        return LocalRefusal{403, "web pages have no business here"};
    if (request.path != "/proxy.pac")
        return LocalRefusal{404, "this is Usher's local proxy; its own page is /proxy.pac"};
    if (request.method != "GET") return LocalRefusal{405, "/proxy.pac takes GET"};
    return std::nullopt;
}

}  // namespace usher::clients::agent
