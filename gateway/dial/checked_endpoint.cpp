#include "gateway/dial/checked_endpoint.hpp"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "gateway/dial/address_class.hpp"

namespace usher::gateway::dial {
namespace {

bool is_every_address(const base::IpAddress& address) noexcept {
    return address == base::IpAddress{} || address == base::IpAddress::v4(0);
}

bool is_allowed(AddressClass address_class, const base::IpAddress& address, const std::vector<base::Cidr>& allowed) {
    const auto named = [&] {
        return std::any_of(allowed.begin(), allowed.end(),
                           [&](const base::Cidr& block) { return block.contains(address); });
    };
    switch (address_class) {
        case AddressClass::global:
        case AddressClass::shared:
        case AddressClass::private_:
            return true;
        case AddressClass::documentation:
        case AddressClass::reserved:
        case AddressClass::embedded:
        case AddressClass::link_local:
        case AddressClass::loopback:
            return named();
        case AddressClass::metadata:
            return std::find(allowed.begin(), allowed.end(), base::Cidr{address, 128}) != allowed.end();
        case AddressClass::broadcast:
        case AddressClass::multicast:
        case AddressClass::unspecified:
            return false;
    }
    return false;
}

}  // namespace

bool OwnListeners::holds(const base::IpAddress& address, std::uint16_t port) const noexcept {
    const bool local = classify(address) == AddressClass::loopback ||
                       std::find(local_addresses.begin(), local_addresses.end(), address) != local_addresses.end();
    return std::any_of(listeners.begin(), listeners.end(), [&](const Listener& listener) {
        return listener.port == port && (listener.address == address || (local && is_every_address(listener.address)));
    });
}

std::vector<base::IpAddress> local_interface_addresses() {
    std::vector<base::IpAddress> out;
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return out;
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
    for (const auto* entry = list; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr) continue;
        if (entry->ifa_addr->sa_family == AF_INET) {
            sockaddr_in v4{};
            std::memcpy(&v4, entry->ifa_addr, sizeof v4);
            out.push_back(base::IpAddress::v4(ntohl(v4.sin_addr.s_addr)));
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            sockaddr_in6 v6{};
            std::memcpy(&v6, entry->ifa_addr, sizeof v6);
            base::IpAddress address;
            std::memcpy(address.bytes.data(), &v6.sin6_addr, address.bytes.size());
            out.push_back(address);
        }
    }
    return out;
}

std::variant<CheckedEndpoint, DialRefusal> check_address(const base::IpAddress& address, std::uint16_t port,
                                                         const DialRules& rules) {
    if (port == 0) return DialRefusal{"port-zero"};
    if (rules.own_listeners) {
        const auto inner = embedded_v4(address);
        if (rules.own_listeners->holds(address, port) || (inner && rules.own_listeners->holds(*inner, port))) {
            return DialRefusal{"own-listener"};
        }
    }
    const auto address_class = classify(address);
    if (!is_allowed(address_class, address, rules.allow_addresses)) return DialRefusal{reason_of(address_class)};
    return CheckedEndpoint(address, port);
}

}  // namespace usher::gateway::dial
