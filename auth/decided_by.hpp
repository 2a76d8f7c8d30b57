#pragma once
#include <string>
#include <vector>

#include "auth/policy.hpp"

namespace usher::auth {

inline constexpr std::size_t condition_bytes_max = 256;

/// The conditions of the rule that decided, each with that of its list which was met: "group finance", "department EU"
/// (the account's own, or the one above it that is listed), "account-role auditor", "network 10.0.0.0/8",
/// "time mon-fri 08:00-18:00 Asia/Shanghai", "device active", "posture disk_encrypted and os_version >= 12",
/// "second-factor within 12h". Of a rule that asks for more: what it asks for, such as "posture os_version >= 12". That
/// an account is listed by its name is left out, a test of the device's name or id is "device_name" or "device_uid" and
/// a network of one address "network" alone: who it was stands in the record's own fields, and nowhere twice. Empty
/// where no rule decided. Each at most condition_bytes_max. `decision` is decide()'s of the same arguments.
std::vector<std::string> decided_by(const Decision& decision, const DirectorySnapshot& directory,
                                    const Account& account, const Context& context);

}  // namespace usher::auth
