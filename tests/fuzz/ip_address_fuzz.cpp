#include <arpa/inet.h>

#include <cstring>
#include <string>

#include "base/net.hpp"
#include "gateway/dial/checked_endpoint.hpp"
#include "tests/fuzz/require.hpp"

using usher::base::Cidr;
using usher::base::IpAddress;
using usher::fuzz::require;

namespace {

/// The system's own strict reader, which must agree.
std::optional<IpAddress> system_parse(const std::string& text) {
    in_addr v4{};
    if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return IpAddress::v4(ntohl(v4.s_addr));
    IpAddress address;
    if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) return address;
    return std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace usher::gateway::dial;
    const std::string text(usher::fuzz::text_of(data, size));
    const auto address = IpAddress::parse(text);
    if (text.find('\0') == std::string::npos) require(address == system_parse(text));
    if (address) {
        require(IpAddress::parse(address->to_string()) == address);
        // Without an allow, nothing near this machine is dialled.
        const auto checked = check_address(*address, 443, {});
        require(!Cidr::parse("127.0.0.0/8")->contains(*address) || std::holds_alternative<DialRefusal>(checked));
    }
    if (const auto block = Cidr::parse(text)) {
        require(block->contains(block->network));
        require(Cidr::parse(block->to_string()) == block);
    }
    if (const auto name = usher::base::canonical_host_name(text)) {
        require(usher::base::canonical_host_name(*name) == name);
        require(!IpAddress::parse(*name) && !system_parse(*name));
    }
    return 0;
}
