#include "auth/policy.hpp"

#include <algorithm>
#include <array>

#include "auth/next_change.hpp"
#include "auth/validate.hpp"

namespace usher::auth {
namespace {

using Reason = Decision::Reason;

Reason reason_of(Standing standing) noexcept {
    switch (standing) {
        case Standing::not_yet_valid:
            return Reason::account_not_yet_valid;
        case Standing::expired:
            return Reason::account_expired;
        case Standing::good:
        case Standing::disabled:
            break;
    }
    return Reason::account_disabled;
}

/// "group", "department and network", "account, group and time".
std::string conditions_of(const Rule& rule) {
    const std::array<std::pair<bool, RuleField>, 9> lists{{{!rule.accounts.empty(), RuleField::account},
                                                           {!rule.groups.empty(), RuleField::group},
                                                           {!rule.departments.empty(), RuleField::department},
                                                           {!rule.roles.empty(), RuleField::role},
                                                           {!rule.networks.empty(), RuleField::network},
                                                           {!rule.times.empty(), RuleField::time},
                                                           {!rule.devices.empty(), RuleField::device},
                                                           {!rule.posture.empty(), RuleField::posture},
                                                           {rule.mfa_within.has_value(), RuleField::second_factor}}};
    auto left = std::count_if(lists.begin(), lists.end(), [](const auto& list) { return list.first; });
    std::string out;
    for (const auto& [present, field] : lists) {
        if (!present) continue;
        if (!out.empty()) out += left == 1 ? " and " : ", ";
        out += to_word(field);
        --left;
    }
    return out;
}

std::string rule_text(std::string_view word, const Policy& policy, bool deny, std::size_t index) {
    std::string out(word);
    out.append(" ").append(policy.name).append(deny ? "/deny[" : "/allow[");
    out.append(std::to_string(index)).append("] by ");
    return out.append(conditions_of(deny ? policy.deny[index] : policy.allow[index]));
}

/// What an allow rule asks of its user and nothing else is missing of, by what is unmet first; no_allow_rule when
/// something else is. They are compared last, so whatever else the rule asks is met.
Reason needed_by(const Rule& rule, RuleField unmet) noexcept {
    if (unmet == RuleField::second_factor) return Reason::second_factor_needed;
    if (unmet == RuleField::posture) return Reason::posture_needed;
    // Who has an active device is not to be told to enrol one.
    const bool active = std::find(rule.devices.begin(), rule.devices.end(), DeviceState::active) != rule.devices.end();
    return unmet == RuleField::device && active ? Reason::device_needed : Reason::no_allow_rule;
}

void trace(const DirectorySnapshot& directory, const App& app, bool deny, const Account& account,
           const Context& context, std::vector<RuleTrace>& out) {
    const auto& above = directory.department_tree().above(account.department);
    for (const Policy* policy : directory.policies_of(app.name)) {
        const auto& rules = deny ? policy->deny : policy->allow;
        for (std::size_t i = 0; i < rules.size(); ++i)
            out.push_back({policy, deny, i, rules[i].first_unmet(account, context, above)});
    }
}

}  // namespace

Standing standing(const Account& account, std::optional<base::UtcTime> now) noexcept {
    if (account.status != AccountStatus::active) return Standing::disabled;
    if (now && account.valid_from && *now < *account.valid_from) return Standing::not_yet_valid;
    if (now && account.valid_until && *now >= *account.valid_until) return Standing::expired;
    return Standing::good;
}

std::string Decision::text() const {
    switch (reason) {
        case Reason::account_disabled:
            return "account-disabled";
        case Reason::account_not_yet_valid:
            return "account-not-yet-valid";
        case Reason::account_expired:
            return "account-expired";
        case Reason::no_allow_rule:
            return "no-allow-rule";
        case Reason::device_needed:
            return "device-needed " + policy->name + "/allow[" + std::to_string(rule) + "]";
        case Reason::posture_needed:
            return "posture-needed " + policy->name + "/allow[" + std::to_string(rule) + "]";
        case Reason::second_factor_needed:
            return "second-factor-needed " + policy->name + "/allow[" + std::to_string(rule) + "]";
        case Reason::allow_rule:
            return rule_text("allow-rule", *policy, false, rule);
        case Reason::deny_rule:
            return rule_text("deny-rule", *policy, true, rule);
        case Reason::role:
            break;
    }
    return "role " + std::string(to_word(role));
}

Decision decide(const DirectorySnapshot& directory, const Account& account, const App& app,
                const Context& context) noexcept {
    Decision decision;
    decision.policy_version = directory.version();
    if (const auto stands = standing(account, context.time); stands != Standing::good) {
        decision.reason = reason_of(stands);
        return decision;
    }
    const auto& rules = directory.rules_of(app.name);
    const auto& above = directory.department_tree().above(account.department);
    // What the first allow rule that would match asks of its user besides, should none match as it is.
    const PlacedRule* asking = nullptr;
    Reason asked = Reason::no_allow_rule;
    // Those that deny come first, so the first that matches decides.
    const PlacedRule* decided =
        rules.first(account, above, context, [&](const PlacedRule& placed, RuleField unmet) noexcept {
            // They come in no order; those of one index lie in theirs.
            if ((asking != nullptr && asking <= &placed) || placed.deny) return;
            const auto needed = needed_by(*placed.rule, unmet);
            if (needed == Reason::no_allow_rule) return;
            asking = &placed;
            asked = needed;
        });
    if (decided != nullptr) {
        decision.allowed = !decided->deny;
        decision.reason = decided->deny ? Reason::deny_rule : Reason::allow_rule;
    } else {
        decided = asking;
        decision.reason = asked;
    }
    if (decided == nullptr) return decision;
    decision.policy = decided->policy;
    decision.rule = decided->number;
    return decision;
}

Decision decide_control(const DirectorySnapshot& directory, const Account& account, const Context& context) noexcept {
    Decision decision;
    decision.policy_version = directory.version();
    if (const auto stands = standing(account, context.time); stands != Standing::good) {
        decision.reason = reason_of(stands);
        return decision;
    }
    decision.allowed = account.role != Role::employee;
    decision.reason = Reason::role;
    decision.role = account.role;
    return decision;
}

std::vector<RuleTrace> explain(const DirectorySnapshot& directory, const Account& account, const App& app,
                               const Context& context) {
    std::vector<RuleTrace> out;
    trace(directory, app, true, account, context, out);
    trace(directory, app, false, account, context, out);
    return out;
}

std::string_view to_word(RuleField field) noexcept {
    switch (field) {
        case RuleField::account:
            return "account";
        case RuleField::group:
            return "group";
        case RuleField::department:
            return "department";
        case RuleField::role:
            return "role";
        case RuleField::network:
            return "network";
        case RuleField::time:
            return "time";
        case RuleField::device:
            return "device";
        case RuleField::posture:
            return "posture";
        case RuleField::second_factor:
            return "second-factor";
    }
    return "unknown";
}

bool time_matters(const DirectorySnapshot& directory, base::UtcTime from, base::UtcTime to) noexcept {
    if (from > to) return directory.has_time_windows() || !directory.validity_changes().empty();
    const auto next = next_time_that_matters(directory, from);
    return next && *next <= to;
}

}  // namespace usher::auth
