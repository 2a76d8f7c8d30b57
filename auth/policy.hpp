#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "auth/directory.hpp"

namespace usher::auth {

/// Whether an account may do anything at all at a moment. When the moment is not known, its validity is not looked at.
enum class Standing { good, disabled, not_yet_valid, expired };
Standing standing(const Account& account, std::optional<base::UtcTime> now) noexcept;

/// What was decided and why. `policy` points into the snapshot that was decided by, and must not outlive it.
struct Decision {
    enum class Reason {
        account_disabled,
        account_not_yet_valid,
        account_expired,
        no_allow_rule,
        device_needed,         ///< an allow rule would match with an active device, and no deny rule does
        posture_needed,        ///< an allow rule would match if the device said otherwise, and no deny rule does
        second_factor_needed,  ///< an allow rule would match with a (younger) second factor, and no deny rule does
        allow_rule,
        deny_rule,
        role
    };

    bool allowed = false;
    Reason reason = Reason::no_allow_rule;
    const Policy* policy = nullptr;  ///< the policy whose rule decided, or asks for more; null when none did
    std::size_t rule = 0;            ///< index in policy->allow or policy->deny
    Role role = Role::employee;      ///< of Reason::role
    std::uint64_t policy_version = 0;

    std::string_view policy_name() const noexcept { return policy != nullptr ? std::string_view(policy->name) : ""; }
    /// As it goes on record; the first word is for programs, then the rule and of which kinds its conditions are, all
    /// of which were met (decided_by() says with what): "allow-rule finance-uses-crm/allow[0] by department and
    /// network", "deny-rule p/deny[1] by group", "no-allow-rule", "device-needed p/allow[0]", "posture-needed
    /// p/allow[0]", "second-factor-needed p/allow[0]", "account-disabled", "account-not-yet-valid", "account-expired",
    /// "role administrator".
    std::string text() const;
};

/// Decides whether `account` may use `app`. Pure; allocates nothing; no I/O, no clock.
/// An account without good standing is denied before any rule. A deny rule of any policy wins over every allow rule;
/// without an allow rule the verdict is deny. The deny rule (or the first allow rule in policy name order) decided.
Decision decide(const DirectorySnapshot& directory, const Account& account, const App& app,
                const Context& context) noexcept;

/// Decides whether `account` may reach the control API: every role but an employee's.
Decision decide_control(const DirectorySnapshot& directory, const Account& account, const Context& context) noexcept;

/// One rule as explain() found it.
struct RuleTrace {
    const Policy* policy;  ///< in the snapshot
    bool deny;             ///< policy->deny[rule], else policy->allow[rule]
    std::size_t rule;
    std::optional<RuleField> unmet;  ///< nullopt: it matches
};
/// Every rule of every policy that names the app: deny rules first, then allow rules, each in the order in which
/// decide() reads them, which stops at the first that matches.
std::vector<RuleTrace> explain(const DirectorySnapshot& directory, const Account& account, const App& app,
                               const Context& context);

/// "account", "group", "department", "role", "network", "time", "device", "posture", "second-factor".
std::string_view to_word(RuleField field) noexcept;

/// Whether decisions may come out otherwise at `to` than at `from` although nothing was changed: a time window or an
/// account's validity may have begun or ended. Windows are looked at once a minute. Also true when time went back.
/// Says nothing of second factors, whose age is that of each session (see DirectorySnapshot::shortest_mfa_within()).
bool time_matters(const DirectorySnapshot& directory, base::UtcTime from, base::UtcTime to) noexcept;

}  // namespace usher::auth
