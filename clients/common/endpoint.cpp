#include "clients/common/endpoint.hpp"

#include "base/net.hpp"
#include "base/text.hpp"

namespace usher::clients {

using base::Errc;

namespace {

std::string quoted(std::string_view text) { return "'" + base::escape_for_terminal(text, 300) + "'"; }

}  // namespace

std::string Endpoint::to_string() const {
    const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
    return shown + ":" + std::to_string(port);
}

bool Endpoint::is_loopback_address() const noexcept {
    const auto address = base::IpAddress::parse(host);
    if (!address) return false;
    if (address->is_v4()) return address->bytes[12] == 127;
    base::IpAddress one;
    one.bytes[15] = 1;
    return *address == one;
}

base::Result<Endpoint> parse_endpoint(std::string_view text, bool allow_port_zero) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0)
        return {Errc::invalid_argument, quoted(text) + " is no HOST:PORT, such as db.corp.example:5432"};
    auto host = text.substr(0, colon);
    const auto port = base::parse_unsigned(text.substr(colon + 1), 65535);
    if (!port || (*port == 0 && !allow_port_zero))
        return {Errc::invalid_argument, quoted(text) + " has no port from 1 to 65535 behind its last colon"};
    Endpoint endpoint;
    endpoint.port = static_cast<std::uint16_t>(*port);
    if (host.front() == '[') {
        if (host.back() != ']') return {Errc::invalid_argument, quoted(text) + " has a '[' without its ']'"};
        const auto address = base::IpAddress::parse(host.substr(1, host.size() - 2));
        if (!address || host.find(':') == std::string_view::npos)
            return {Errc::invalid_argument, quoted(text) + " has no IPv6 address between its brackets"};
        endpoint.host = address->to_string();
        return endpoint;
    }
    if (host.find(':') != std::string_view::npos)
        return {Errc::invalid_argument, quoted(text) + ": an IPv6 address is written in brackets, [2001:db8::1]:443"};
    if (const auto address = base::IpAddress::parse(host)) {
        endpoint.host = address->to_string();
        return endpoint;
    }
    auto name = base::canonical_host_name(host);
    if (!name)
        return {Errc::invalid_argument, quoted(text) + " has neither a host name nor an address before its colon"};
    endpoint.host = std::move(*name);
    return endpoint;
}

base::Result<ForwardRule> parse_forward_rule(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0)
        return {Errc::invalid_argument,
                quoted(text) + " is no LOCAL=HOST:PORT, such as 127.0.0.1:5432=db.corp.example:5432"};
    std::string local{text.substr(0, equals)};
    if (local.find(':') == std::string::npos) local = "127.0.0.1:" + local;
    auto from = parse_endpoint(local, true);
    if (!from) return std::move(from).error();
    auto to = parse_endpoint(text.substr(equals + 1));
    if (!to) return std::move(to).error();
    if (from->host == "localhost") from->host = "127.0.0.1";
    if (!base::IpAddress::parse(from->host))
        return {Errc::invalid_argument, quoted(text) + ": listen on an address, such as 127.0.0.1, not on a name"};
    return ForwardRule{std::move(*from), std::move(*to)};
}

}  // namespace usher::clients
