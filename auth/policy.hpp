#pragma once
#include <string>
#include <vector>

#include "auth/directory.hpp"

namespace usher::auth {

/// What was decided and why, as it goes on record.
struct Decision {
    bool allowed = false;
    std::vector<std::string>
        reasons;  ///< first word machine-readable: "allow-rule finance-uses-crm/allow[0]", "deny-rule p/deny[1]",
                  ///< "no-allow-rule", "account-disabled", "role administrator"
    std::string policy;  ///< the policy that decided; empty when none did
    std::uint64_t policy_version = 0;
};

/// Decides whether `account` may use `app`. Pure; no I/O, no clock.
/// A disabled account is denied before any rule. A deny rule of any policy wins over every allow rule; without an allow
/// rule the verdict is deny. The deny rule (or the first allow rule in policy name order) is the reason on record.
Decision decide(const DirectorySnapshot& directory, const Account& account, const App& app);

/// Decides whether `account` may reach the control API: administrators and auditors.
Decision decide_control(const DirectorySnapshot& directory, const Account& account);

}  // namespace usher::auth
