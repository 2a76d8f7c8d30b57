#include "auth/policy.hpp"

#include "auth/validate.hpp"

namespace usher::auth {
namespace {

std::string reason(std::string_view word, const Policy& policy, std::string_view list, std::size_t index) {
    std::string out(word);
    out.append(" ").append(policy.name).append("/").append(list);
    return out.append("[").append(std::to_string(index)).append("]");
}

}  // namespace

Decision decide(const DirectorySnapshot& directory, const Account& account, const App& app) {
    Decision decision;
    decision.policy_version = directory.version();
    if (account.status != AccountStatus::active) {
        decision.reasons = {"account-disabled"};
        return decision;
    }
    const auto& policies = directory.policies_of(app.name);
    for (const Policy* policy : policies) {
        for (std::size_t i = 0; i < policy->deny.size(); ++i) {
            if (!policy->deny[i].matches(account)) continue;
            decision.policy = policy->name;
            decision.reasons = {reason("deny-rule", *policy, "deny", i)};
            return decision;
        }
    }
    for (const Policy* policy : policies) {
        for (std::size_t i = 0; i < policy->allow.size(); ++i) {
            if (!policy->allow[i].matches(account)) continue;
            decision.allowed = true;
            decision.policy = policy->name;
            decision.reasons = {reason("allow-rule", *policy, "allow", i)};
            return decision;
        }
    }
    decision.reasons = {"no-allow-rule"};
    return decision;
}

Decision decide_control(const DirectorySnapshot& directory, const Account& account) {
    Decision decision;
    decision.policy_version = directory.version();
    if (account.status != AccountStatus::active) {
        decision.reasons = {"account-disabled"};
        return decision;
    }
    decision.allowed = account.role == Role::administrator || account.role == Role::auditor;
    decision.reasons = {"role " + std::string(to_word(account.role))};
    return decision;
}

}  // namespace usher::auth
