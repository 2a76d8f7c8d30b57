#pragma once
#include <string>
#include <string_view>

#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// How the machine reaches everything else: "wired", "wireless", "cellular", or "other" for the interface of a VPN, a
/// bridge, a container. Told from /sys/class/net of the interface with the default route; empty where there is none.
std::string network_type(const SystemTree& tree);

/// The interface of the default route with the lowest metric in the text of /proc/net/route (IPv4); empty when there is
/// none. What is no name of an interface (it becomes part of a path) counts as none.
std::string default_interface(std::string_view route_table);
/// The same for /proc/net/ipv6_route.
std::string default_interface_ipv6(std::string_view route_table);

}  // namespace usher::clients
