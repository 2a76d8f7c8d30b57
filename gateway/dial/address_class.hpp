#pragma once
#include <optional>
#include <string_view>

#include "base/net.hpp"

namespace usher::gateway::dial {

/// What kind of place an address leads to (IANA special-purpose registries, RFC 6890), from the most to the least
/// harmless: of two kinds that both fit, the later one counts.
enum class AddressClass {
    global,         ///< the Internet
    shared,         ///< carrier-grade NAT, 100.64.0.0/10
    private_,       ///< RFC 1918, fc00::/7
    documentation,  ///< reserved for examples; nothing real lives there
    reserved,       ///< 240.0.0.0/4, benchmarking, protocol assignments, everything outside of 2000::/3
    embedded,       ///< IPv6 that carries an IPv4 address through a relay: 6to4, Teredo, ISATAP, IPv4-compatible, local
                    ///< NAT64
    link_local,     ///< this link: 169.254.0.0/16, fe80::/10
    loopback,       ///< this machine: 127.0.0.0/8, ::1
    metadata,       ///< where a cloud hands credentials to its machines
    broadcast,      ///< 255.255.255.255
    multicast,      ///< 224.0.0.0/4, ff00::/8
    unspecified,    ///< 0.0.0.0/8, ::, which reach this machine
};

/// A fixed token such as "loopback-address", for records.
std::string_view reason_of(AddressClass address_class) noexcept;

/// The IPv4 address that an IPv6 address carries, if it has one of the known forms: IPv4-compatible (RFC 4291
/// §2.5.5.1), 6to4 (RFC 3056), NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380, where it is inverted), ISATAP (RFC 5214).
/// IPv4-mapped addresses are IPv4 addresses already.
std::optional<base::IpAddress> embedded_v4(const base::IpAddress& address) noexcept;

/// Judges the address, and the IPv4 address within it, and returns the worse of both. Pure.
AddressClass classify(const base::IpAddress& address) noexcept;

}  // namespace usher::gateway::dial
