#include "gateway/dial/address_class.hpp"

#include <algorithm>
#include <cstdint>

namespace usher::gateway::dial {
namespace {

using base::IpAddress;

struct Block {
    IpAddress network;
    unsigned bits;  ///< of the 128-bit form
    AddressClass address_class;
};

constexpr IpAddress v4_literal(unsigned a, unsigned b, unsigned c, unsigned d) noexcept {
    IpAddress address;
    address.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    address.bytes[12] = static_cast<std::uint8_t>(a);
    address.bytes[13] = static_cast<std::uint8_t>(b);
    address.bytes[14] = static_cast<std::uint8_t>(c);
    address.bytes[15] = static_cast<std::uint8_t>(d);
    return address;
}

constexpr Block v4(unsigned a, unsigned b, unsigned c, unsigned d, unsigned bits, AddressClass address_class) noexcept {
    return {v4_literal(a, b, c, d), 96 + bits, address_class};
}

/// A block whose network is given by its first groups and its last one.
constexpr Block v6(unsigned g0, unsigned g1, unsigned g2, unsigned last, unsigned bits, AddressClass kind) noexcept {
    Block block{{}, bits, kind};
    const auto put = [&](std::size_t group, unsigned value) {
        block.network.bytes[2 * group] = static_cast<std::uint8_t>(value >> 8);
        block.network.bytes[2 * group + 1] = static_cast<std::uint8_t>(value & 0xff);
    };
    put(0, g0);
    put(1, g1);
    put(2, g2);
    put(7, last);
    return block;
}

/// The first block that holds an address decides, so that exceptions stand before their surroundings.
constexpr Block blocks[] = {
    // Metadata services: AWS, GCP, Azure, OpenStack, DigitalOcean and others; ECS and EKS credentials; Tencent;
    // Alibaba;
    // the Azure wire server; Oracle.
    v4(169, 254, 169, 254, 32, AddressClass::metadata),
    v4(169, 254, 170, 2, 32, AddressClass::metadata),
    v4(169, 254, 170, 23, 32, AddressClass::metadata),
    v4(169, 254, 0, 23, 32, AddressClass::metadata),
    v4(100, 100, 100, 200, 32, AddressClass::metadata),
    v4(168, 63, 129, 16, 32, AddressClass::metadata),
    v4(192, 0, 0, 192, 32, AddressClass::metadata),
    v6(0xfd00, 0x0ec2, 0, 0x0254, 128, AddressClass::metadata),
    v6(0xfd00, 0x0ec2, 0, 0x0023, 128, AddressClass::metadata),
    v6(0xfd20, 0x00ce, 0, 0x0254, 128, AddressClass::metadata),

    v4(0, 0, 0, 0, 8, AddressClass::unspecified),
    v4(10, 0, 0, 0, 8, AddressClass::private_),
    v4(100, 64, 0, 0, 10, AddressClass::shared),
    v4(127, 0, 0, 0, 8, AddressClass::loopback),
    v4(169, 254, 0, 0, 16, AddressClass::link_local),
    v4(172, 16, 0, 0, 12, AddressClass::private_),
    v4(192, 0, 0, 0, 24, AddressClass::reserved),
    v4(192, 0, 2, 0, 24, AddressClass::documentation),
    v4(192, 88, 99, 0, 24, AddressClass::reserved),
    v4(192, 168, 0, 0, 16, AddressClass::private_),
    v4(198, 18, 0, 0, 15, AddressClass::reserved),
    v4(198, 51, 100, 0, 24, AddressClass::documentation),
    v4(203, 0, 113, 0, 24, AddressClass::documentation),
    v4(224, 0, 0, 0, 4, AddressClass::multicast),
    v4(255, 255, 255, 255, 32, AddressClass::broadcast),
    v4(240, 0, 0, 0, 4, AddressClass::reserved),
    v4(0, 0, 0, 0, 0, AddressClass::global),

    v6(0, 0, 0, 0, 128, AddressClass::unspecified),
    v6(0, 0, 0, 1, 128, AddressClass::loopback),
    v6(0, 0, 0, 0, 96, AddressClass::embedded),
    // What the well-known NAT64 prefix reaches is what the IPv4 address within it is.
    v6(0x0064, 0xff9b, 0, 0, 96, AddressClass::global),
    v6(0x0064, 0xff9b, 1, 0, 48, AddressClass::embedded),
    v6(0x2001, 0, 0, 0, 32, AddressClass::embedded),
    v6(0x2001, 0, 0, 0, 23, AddressClass::reserved),
    v6(0x2001, 0x0db8, 0, 0, 32, AddressClass::documentation),
    v6(0x2002, 0, 0, 0, 16, AddressClass::embedded),
    v6(0x3fff, 0, 0, 0, 20, AddressClass::documentation),
    v6(0x2000, 0, 0, 0, 3, AddressClass::global),
    v6(0xfc00, 0, 0, 0, 7, AddressClass::private_),
    v6(0xfe80, 0, 0, 0, 10, AddressClass::link_local),
    v6(0xff00, 0, 0, 0, 8, AddressClass::multicast),
};

bool in_block(const IpAddress& address, const Block& block) noexcept {
    return base::Cidr{block.network, block.bits}.contains(address);
}

AddressClass classify_outer(const IpAddress& address) noexcept {
    const auto* found = std::find_if(std::begin(blocks), std::end(blocks),
                                     [&](const Block& block) { return in_block(address, block); });
    return found == std::end(blocks) ? AddressClass::reserved : found->address_class;
}

bool is_isatap(const IpAddress& address) noexcept {
    const auto& b = address.bytes;
    // The universal/local bit of the interface identifier may be set or not (RFC 5214 §6.1).
    return (b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe;
}

}  // namespace

std::string_view reason_of(AddressClass address_class) noexcept {
    switch (address_class) {
        case AddressClass::global:
            return "global-address";
        case AddressClass::shared:
            return "shared-address";
        case AddressClass::private_:
            return "private-address";
        case AddressClass::documentation:
            return "documentation-address";
        case AddressClass::reserved:
            return "reserved-address";
        case AddressClass::embedded:
            return "embedded-address";
        case AddressClass::link_local:
            return "link-local-address";
        case AddressClass::loopback:
            return "loopback-address";
        case AddressClass::metadata:
            return "metadata-address";
        case AddressClass::broadcast:
            return "broadcast-address";
        case AddressClass::multicast:
            return "multicast-address";
        case AddressClass::unspecified:
            return "unspecified-address";
    }
    return "unknown-address";
}

std::optional<IpAddress> embedded_v4(const IpAddress& address) noexcept {
    static constexpr Block compatible = v6(0, 0, 0, 0, 96, AddressClass::embedded);
    static constexpr Block nat64 = v6(0x0064, 0xff9b, 0, 0, 96, AddressClass::embedded);
    static constexpr Block local_nat64 = v6(0x0064, 0xff9b, 1, 0, 48, AddressClass::embedded);
    static constexpr Block six_to_four = v6(0x2002, 0, 0, 0, 16, AddressClass::embedded);
    static constexpr Block teredo = v6(0x2001, 0, 0, 0, 32, AddressClass::embedded);

    if (address.is_v4()) return std::nullopt;
    const auto& b = address.bytes;
    const auto at = [&](std::size_t i) { return v4_literal(b[i], b[i + 1], b[i + 2], b[i + 3]); };
    if (in_block(address, compatible)) {
        // :: and ::1 are addresses of their own.
        const bool own = std::all_of(b.begin(), b.end() - 1, [](std::uint8_t x) { return x == 0; }) && b[15] <= 1;
        return own ? std::nullopt : std::optional(at(12));
    }
    if (in_block(address, nat64) || in_block(address, local_nat64)) return at(12);
    if (in_block(address, six_to_four)) return at(2);
    if (in_block(address, teredo)) return v4_literal(b[12] ^ 0xffu, b[13] ^ 0xffu, b[14] ^ 0xffu, b[15] ^ 0xffu);
    if (is_isatap(address)) return at(12);
    return std::nullopt;
}

AddressClass classify(const IpAddress& address) noexcept {
    auto worst = classify_outer(address);
    if (const auto inner = embedded_v4(address)) {
        if (is_isatap(address)) worst = std::max(worst, AddressClass::embedded);
        worst = std::max(worst, classify_outer(*inner));
    }
    // OpenStack's metadata service, written as the link-local form of 169.254.169.254.
    static constexpr Block link_local_metadata = v6(0xfe80, 0, 0, 0, 64, AddressClass::metadata);
    const auto& b = address.bytes;
    const bool names_metadata = b[8] == 0 && b[9] == 0 && b[10] == 0 && b[11] == 0 && b[12] == 0xa9 && b[13] == 0xfe &&
                                b[14] == 0xa9 && b[15] == 0xfe;
    if (names_metadata && in_block(address, link_local_metadata)) worst = std::max(worst, AddressClass::metadata);
    return worst;
}

}  // namespace usher::gateway::dial
