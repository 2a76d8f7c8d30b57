#include "auth/expectations.hpp"

#include <map>

#include "auth/decided_by.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Result;

/// What is wrong with an expectation; empty when nothing is. `missing`: it is about somebody or something that is not
/// there.
struct Outcome {
    std::string problem{};
    bool missing = false;
};

Outcome judge(const DirectorySnapshot& directory, const Expectation& expected) {
    const Account* account = directory.account_by_username(expected.account);
    if (account == nullptr) return {"account '" + expected.account + "' does not exist", true};
    const App* app = directory.app(expected.app);
    if (app == nullptr) return {"app '" + base::escape_for_terminal(expected.app, 100) + "' does not exist", true};
    const auto decision = decide(directory, *account, *app, expected.context);
    if (decision.allowed == expected.allow) return {};
    std::string why = decision.text();
    for (const auto& condition : decided_by(decision, directory, *account, expected.context)) why += "; " + condition;
    return {"expected that '" + account->username + "' " + (expected.allow ? "may" : "may not") + " use '" + app->name +
            "', but the decision is: " + why};
}

}  // namespace

Result<void> check_expectations(const DirectorySnapshot& after, const Resources& resources) {
    std::map<std::string_view, std::size_t> in_call;
    for (std::size_t i = 0; i < resources.size(); ++i)
        if (const auto* policy = std::get_if<Policy>(&resources[i])) in_call.emplace(policy->name, i);

    for (const auto& policy : after.policies()) {
        const auto found = in_call.find(policy.name);
        for (std::size_t n = 0; n < policy.expect.size(); ++n) {
            const auto outcome = judge(after, policy.expect[n]);
            if (outcome.problem.empty()) continue;
            const std::string where = "expect[" + std::to_string(n) + "]";
            if (found != in_call.end())
                return {Errc::invalid_argument,
                        "resources[" + std::to_string(found->second) + "]." + where + ": " + outcome.problem};
            if (!outcome.missing)
                return {Errc::failed_precondition, "policy '" + policy.name + "', " + where + ": " + outcome.problem +
                                                       "; change this call, or apply that policy with it"};
        }
    }
    return {};
}

}  // namespace usher::auth
