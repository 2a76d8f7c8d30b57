#include "auth/policy_diff.hpp"

#include <algorithm>
#include <set>

#include "auth/policy.hpp"
#include "auth/validate.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

/// What decides in a policy.
bool same_rules(const Policy& a, const Policy& b) { return a.apps == b.apps && a.allow == b.allow && a.deny == b.deny; }

/// The apps of every policy that is not the same on the other side.
void add_apps_of_changed(const DirectorySnapshot& here, const DirectorySnapshot& there, std::set<std::string>& apps) {
    for (const auto& policy : here.policies()) {
        const Policy* other = there.policy(policy.name);
        if (other == nullptr || !same_rules(policy, *other)) apps.insert(policy.apps.begin(), policy.apps.end());
    }
}

bool same_tree(const std::vector<Department>& a, const std::vector<Department>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Department& x, const Department& y) {
        return x.code == y.code && x.parent == y.parent;
    });
}

void add_apps_about_departments(const DirectorySnapshot& directory, std::set<std::string>& apps) {
    const auto is_about_departments = [](const Rule& rule) { return !rule.departments.empty(); };
    for (const auto& policy : directory.policies())
        if (std::any_of(policy.allow.begin(), policy.allow.end(), is_about_departments) ||
            std::any_of(policy.deny.begin(), policy.deny.end(), is_about_departments))
            apps.insert(policy.apps.begin(), policy.apps.end());
}

/// All that a rule asks for besides who somebody is, order and repetition apart; empty for nothing.
std::string conditions_text(const Rule& rule) {
    std::set<std::string> parts;
    std::string out;
    const auto add_list = [&](std::string_view name) {
        if (parts.empty()) return;
        out.append(name);
        for (const auto& part : parts) out.append(" ").append(part).append(",");
        parts.clear();
    };
    for (const auto& network : rule.networks) parts.insert(network.to_string());
    add_list("networks");
    for (const auto& window : rule.times) parts.insert(window.to_string());
    add_list("times");
    for (const auto device : rule.devices) parts.emplace(to_word(device));
    add_list("devices");
    for (const auto& test : rule.posture) parts.insert(test.to_string());
    add_list("posture");
    if (rule.mfa_within) out += "mfa_within " + base::format_duration(*rule.mfa_within);
    return out;
}

/// Whether the rule is about the account, whatever else it asks for.
bool is_about(const Rule& rule, const Account& account, const std::vector<std::string>& above) noexcept {
    const auto unmet = rule.first_unmet(account, {}, above);
    // Who somebody is is compared first.
    return !unmet || *unmet > RuleField::role;
}
static_assert(RuleField::account < RuleField::role && RuleField::group < RuleField::role &&
              RuleField::department < RuleField::role && RuleField::network > RuleField::role);

void sort_unique(std::vector<std::uint32_t>& ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

PolicyDiff::PolicyDiff(const DirectorySnapshot& before, const DirectorySnapshot& after, base::UtcTime now)
    : before_(before), after_(after), now_(now), conditions_{{std::string(), 0}} {
    std::set<std::string> apps;
    // Where the departments lie elsewhere, rules about them say something else.
    if (!same_tree(before.departments(), after.departments())) add_apps_about_departments(after, apps);
    add_apps_of_changed(before, after, apps);
    add_apps_of_changed(after, before, apps);
    for (const auto& app : apps)
        if (after.app(app) != nullptr) apps_.emplace(app, Sides{rules_of(before, app), rules_of(after, app)});
}

PolicyDiff::Rules PolicyDiff::rules_of(const DirectorySnapshot& directory, const std::string& app) {
    const auto numbered = [&](const std::vector<Rule>& rules, std::vector<Candidate>& into) {
        for (const auto& rule : rules) {
            auto [known, is_new] = conditions_of_.try_emplace(&rule, 0);
            if (is_new) {
                const auto next = static_cast<ConditionId>(conditions_.size());
                known->second = conditions_.emplace(conditions_text(rule), next).first->second;
            }
            into.push_back({&rule, known->second});
        }
    };
    Rules out;
    for (const Policy* policy : directory.policies_of(app)) {
        numbered(policy->deny, out.deny);
        numbered(policy->allow, out.allow);
    }
    return out;
}

PolicyDiff::Verdict PolicyDiff::judge(const DirectorySnapshot& directory, const Rules& rules, const Account& account) {
    const auto& above = directory.department_tree().above(account.department);
    Verdict verdict;
    for (const auto& [rule, conditions] : rules.deny) {
        if (!is_about(*rule, account, above)) continue;
        if (conditions == 0) return {};
        verdict.deny.push_back(conditions);
    }
    for (const auto& [rule, conditions] : rules.allow)
        if (is_about(*rule, account, above)) verdict.allow.push_back(conditions);
    if (verdict.allow.empty()) return {};
    sort_unique(verdict.deny);
    sort_unique(verdict.allow);
    // A rule that asks for nothing opens the app to whoever the others would open it to.
    if (verdict.allow.front() == 0) verdict.allow.resize(1);
    const bool always = verdict.allow.front() == 0 && verdict.deny.empty();
    verdict.reach = always ? Reach::always : Reach::sometimes;
    return verdict;
}

PolicyDiff::Part PolicyDiff::next(const Place& place, std::size_t limit, std::uint64_t work) const {
    Part part;
    std::uint64_t done = 0;
    const auto& accounts = after_.accounts();
    for (auto app = apps_.lower_bound(place.app); app != apps_.end(); ++app) {
        auto account = accounts.begin();
        if (app->first == place.app)
            account = std::upper_bound(accounts.begin(), accounts.end(), place.username,
                                       [](const std::string& name, const Account& a) { return name < a.username; });
        const auto& [before, after] = app->second;
        const auto pair_work = before.deny.size() + before.allow.size() + after.deny.size() + after.allow.size() + 1;
        for (; account != accounts.end(); ++account) {
            if (part.changes.size() >= limit || done >= work) {
                part.more = true;
                return part;
            }
            part.next = {app->first, account->username};
            done += pair_work;
            const auto stands = standing(*account, now_);
            if (stands == Standing::disabled || stands == Standing::expired) continue;
            const auto was = judge(before_, before, *account), will = judge(after_, after, *account);
            const bool same = was.reach == will.reach && was.deny == will.deny && was.allow == will.allow;
            if (!same) part.changes.push_back({&*account, after_.app(app->first), was.reach, will.reach});
        }
    }
    return part;
}

}  // namespace usher::auth
