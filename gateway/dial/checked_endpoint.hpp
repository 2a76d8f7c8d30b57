#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "base/net.hpp"

namespace usher::gateway::dial {

/// Where this gateway itself listens. A tunnel must never lead back into it: not to its public port (an endless loop),
/// and not to its metrics, whatever an app allows.
struct OwnListeners {
    struct Listener {
        base::IpAddress address;  ///< 0.0.0.0 or :: for every address of the machine
        std::uint16_t port = 0;
    };
    std::vector<Listener> listeners;
    std::vector<base::IpAddress> local_addresses;  ///< of the machine's interfaces, for listeners on every address

    bool holds(const base::IpAddress& address, std::uint16_t port) const noexcept;
};

/// The addresses of the machine's interfaces now. Empty when the kernel does not tell.
std::vector<base::IpAddress> local_interface_addresses();

/// What may be dialled for one app.
struct DialRules {
    std::vector<base::Cidr> allow_addresses;            ///< the app's allow_addresses
    std::shared_ptr<const OwnListeners> own_listeners;  ///< null: none
};

/// Why an address is not dialled: a fixed token such as "loopback-address" or "own-listener".
struct DialRefusal {
    std::string_view reason;
    friend bool operator==(const DialRefusal&, const DialRefusal&) = default;
};

/// An address and port that was judged and found fit to dial. There is no other way to make one than check_address, and
/// nothing else can be connected to, so that what was checked is what is dialled.
class CheckedEndpoint {
public:
    const base::IpAddress& address() const noexcept { return address_; }
    std::uint16_t port() const noexcept { return port_; }
    friend bool operator==(const CheckedEndpoint&, const CheckedEndpoint&) = default;

private:
    friend std::variant<CheckedEndpoint, DialRefusal> check_address(const base::IpAddress&, std::uint16_t,
                                                                    const DialRules&);
    CheckedEndpoint(const base::IpAddress& address, std::uint16_t port) noexcept : address_(address), port_(port) {}

    base::IpAddress address_;
    std::uint16_t port_;
};

/// Decides whether `address` may be dialled. Pure.
/// - The gateway's own listeners and port 0 never.
/// - Unspecified, multicast and broadcast addresses never.
/// - Metadata services only when allow_addresses holds exactly that address, as a block of one.
/// - Global, private and shared addresses always; every other kind when a block of allow_addresses holds it.
/// An address that carries another (NAT64, 6to4, ...) is judged as the worse of both, and must be named as it is.
std::variant<CheckedEndpoint, DialRefusal> check_address(const base::IpAddress& address, std::uint16_t port,
                                                         const DialRules& rules);

}  // namespace usher::gateway::dial
