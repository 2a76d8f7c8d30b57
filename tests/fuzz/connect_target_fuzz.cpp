#include "tests/fuzz/require.hpp"
#include "wire/http1/connect_target.hpp"

using usher::base::Destination;
using usher::base::IpAddress;
using usher::fuzz::require;
using usher::wire::http1::parse_connect_target;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parsed = parse_connect_target(usher::fuzz::text_of(data, size));
    const auto* destination = std::get_if<Destination>(&parsed);
    if (!destination) return 0;
    require(destination->port != 0);
    require(destination->address == IpAddress::parse(destination->host));
    // The canonical form is a fixed point, and made of nothing that a log or a policy could misread.
    require(parse_connect_target(destination->to_string()) == parsed);
    for (char c : destination->host) require((c >= 'a' && c <= 'z') || (c >= '-' && c <= ':' && c != '/') || c == '_');
    return 0;
}
