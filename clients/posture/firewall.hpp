#pragma once
#include <optional>

#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// Whether packets to this machine are filtered, as far as that can be seen without being root (the rules themselves
/// cannot). A service runs when systemd keeps /run/systemd/units/invocation:NAME.service for it. True when
///  - ufw runs, and /etc/ufw/ufw.conf says ENABLED=yes;
///  - firewalld runs;
///  - nftables runs, and /etc/nftables.conf or /etc/sysconfig/nftables.conf drops or rejects something.
/// False when the kernel has no packet filter at all: neither nf_tables nor ip_tables nor ip6_tables is loaded
/// (/proc/modules) or built in (modules.builtin of the running kernel). Nullopt else.
std::optional<bool> firewall(const SystemTree& tree);

}  // namespace usher::clients
