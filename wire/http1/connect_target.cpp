#include "wire/http1/connect_target.hpp"

#include <utility>

#include "wire/http1/characters.hpp"

namespace usher::wire::http1 {
namespace {

/// 253 bytes of name, a trailing dot, a colon and a port; an address in brackets is shorter.
constexpr std::size_t longest_authority = 253 + 1 + 1 + 5;

std::optional<std::uint16_t> parse_port(std::string_view text) noexcept {
    if (text.empty() || text.size() > 5 || text.front() == '0') return std::nullopt;
    unsigned value = 0;
    for (char c : text) {
        if (!is_digit(c)) return std::nullopt;
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    if (value > 65535) return std::nullopt;
    return static_cast<std::uint16_t>(value);
}

}  // namespace

std::variant<Authority, Rejection> parse_authority(std::string_view text) {
    if (text.empty() || text.size() > longest_authority) return Rejection{400, "authority-length"};

    Authority authority;
    std::string_view rest;
    if (text.front() == '[') {
        const auto bracket = text.find(']');
        if (bracket == std::string_view::npos) return Rejection{400, "authority-host"};
        const auto literal = text.substr(1, bracket - 1);
        // RFC 3986 §3.2.2: brackets hold an IPv6 address and nothing else.
        if (literal.find(':') == std::string_view::npos) return Rejection{400, "authority-host"};
        authority.address = base::IpAddress::parse(literal);
        if (!authority.address) return Rejection{400, "authority-host"};
        rest = text.substr(bracket + 1);
    } else {
        const auto host = text.substr(0, text.find(':'));
        rest = text.substr(host.size());
        authority.address = base::IpAddress::parse(host);
        if (!authority.address) {
            auto name = base::canonical_host_name(host);
            if (!name) return Rejection{400, "authority-host"};
            authority.host = std::move(*name);
        }
    }
    if (authority.address) authority.host = authority.address->to_string();
    if (rest.empty()) return authority;

    authority.port = rest.front() == ':' ? parse_port(rest.substr(1)) : std::nullopt;
    if (!authority.port) return Rejection{400, "authority-port"};
    return authority;
}

std::variant<base::Destination, Rejection> parse_connect_target(std::string_view text) {
    auto parsed = parse_authority(text);
    if (auto* rejection = std::get_if<Rejection>(&parsed)) return *rejection;
    auto& authority = std::get<Authority>(parsed);
    if (!authority.port) return Rejection{400, "authority-port"};
    return base::Destination{std::move(authority.host), authority.address, *authority.port};
}

}  // namespace usher::wire::http1
