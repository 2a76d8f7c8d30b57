#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace usher::base {

/// An IPv4 or IPv6 address, held as 16 bytes (IPv4 as ::ffff:a.b.c.d), so that an IPv4-mapped IPv6 address *is* the
/// IPv4 address that it reaches and cannot be told apart from it by any check.
struct IpAddress {
    std::array<std::uint8_t, 16> bytes{};

    static IpAddress v4(std::uint32_t host_order) noexcept;
    /// Strict: dotted quad of four decimal numbers without leading zeros, or RFC 4291 §2.2 text without brackets and
    /// zone. "127.1", "0x7f000001", "2130706433", "0177.0.0.1" are nullopt.
    static std::optional<IpAddress> parse(std::string_view text) noexcept;

    bool is_v4() const noexcept;
    /// Dotted quad, or RFC 5952 canonical text.
    std::string to_string() const;
    friend bool operator==(const IpAddress&, const IpAddress&) = default;
    friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

/// A block of addresses: "10.20.0.0/16", "2001:db8::/32"; a bare address is a block of one.
struct Cidr {
    IpAddress network;
    unsigned prefix_bits = 128;  ///< of the 128-bit form: 10.0.0.0/8 has 104

    /// Host bits below the prefix must be zero, else nullopt.
    static std::optional<Cidr> parse(std::string_view text) noexcept;
    /// An IPv6 block wider than /96, as ::/0, holds no IPv4 address.
    bool contains(const IpAddress& address) const noexcept;
    std::string to_string() const;
    friend bool operator==(const Cidr&, const Cidr&) = default;
};

/// Where a CONNECT wants to go, in canonical form: either an address, or a lower-case DNS name without trailing dot.
struct Destination {
    std::string host;                  ///< canonical text: the name, or the address without brackets
    std::optional<IpAddress> address;  ///< set when the host is an address literal
    std::uint16_t port = 0;            ///< 1..65535

    /// "host:port", with brackets around an IPv6 address.
    std::string to_string() const;
    friend bool operator==(const Destination&, const Destination&) = default;
};

/// Canonicalises a DNS host name: ASCII letters, digits, hyphens; labels of 1 to 63 that neither begin nor end with a
/// hyphen; 253 bytes in all; one trailing dot is dropped; lower-cased. A name whose last label is all digits, or begins
/// with "0x", is refused: resolvers read it as an address (RFC 1123 §2.1). Underscores are accepted inside labels
/// except the last.
std::optional<std::string> canonical_host_name(std::string_view text);

}  // namespace usher::base
