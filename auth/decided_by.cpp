#include "auth/decided_by.hpp"

#include <algorithm>

#include "auth/validate.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace usher::auth {
namespace {

using Reason = Decision::Reason;

template <class List, class Value>
bool holds(const List& list, const Value& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

/// The first of `have` that is listed, and empty where none is.
std::string first_listed(const std::vector<std::string>& list, const std::vector<std::string>& have) {
    const auto found = std::find_if(have.begin(), have.end(), [&](const auto& value) { return holds(list, value); });
    return found == have.end() ? std::string() : *found;
}

std::string listed_department(const Rule& rule, const DirectorySnapshot& directory, const Account& account) {
    if (holds(rule.departments, account.department)) return account.department;
    return first_listed(rule.departments, directory.department_tree().above(account.department));
}

/// Empty for a network of one address: whose it is stands in the record already.
std::string network_around(const Rule& rule, const Context& context) {
    const auto found = std::find_if(rule.networks.begin(), rule.networks.end(), [&](const base::Cidr& network) {
        return network.contains(*context.client_address);
    });
    return found == rule.networks.end() || found->prefix_bits == 128 ? std::string() : found->to_string();
}

std::string first_around(const std::vector<TimeWindow>& windows, base::UtcTime time) {
    const auto found =
        std::find_if(windows.begin(), windows.end(), [&](const TimeWindow& window) { return window.contains(time); });
    return found == windows.end() ? std::string() : found->to_string();
}

std::string text_of(const PostureTest& test) {
    auto text = test.to_string();
    for (const std::string_view personal : {"device_name ", "device_uid "})
        if (text.starts_with(personal)) return std::string(base::trimmed(personal));
    return text;
}

std::string all_tests(const Rule& rule) {
    std::string out;
    for (const auto& test : rule.posture) out.append(out.empty() ? "" : " and ").append(text_of(test));
    return out;
}

std::string first_test_that_fails(const Rule& rule, const Context& context) {
    for (const auto& test : rule.posture)
        if (!context.posture || !test.holds(*context.posture)) return text_of(test);
    return {};
}

std::string age_asked(const Rule& rule) { return "within " + base::format_duration(*rule.mfa_within); }

/// It is in each event of an access.
std::string bounded(std::string text) {
    if (text.size() <= condition_bytes_max) return text;
    constexpr std::string_view more = "...";
    return text.substr(0, base::utf8_cut(text, condition_bytes_max - more.size())).append(more);
}

std::string said(std::string_view word, const std::string& value) {
    return bounded(std::string(word) + (value.empty() ? "" : " ") + value);
}
std::string said(RuleField field, const std::string& value) { return said(to_word(field), value); }

std::vector<std::string> all_met(const Rule& rule, const DirectorySnapshot& directory, const Account& account,
                                 const Context& context) {
    std::vector<std::string> out;
    const auto add = [&](RuleField field, const std::string& value) { out.push_back(said(field, value)); };
    if (!rule.groups.empty()) add(RuleField::group, first_listed(rule.groups, account.groups));
    if (!rule.departments.empty()) add(RuleField::department, listed_department(rule, directory, account));
    // "role auditor" alone is the reason of who was let in to the control API.
    if (!rule.roles.empty()) out.push_back(said("account-role", std::string(to_word(account.role))));
    if (!rule.networks.empty()) add(RuleField::network, network_around(rule, context));
    if (!rule.times.empty()) add(RuleField::time, first_around(rule.times, *context.time));
    if (!rule.devices.empty()) add(RuleField::device, std::string(to_word(*context.device)));
    if (!rule.posture.empty()) add(RuleField::posture, all_tests(rule));
    if (rule.mfa_within) add(RuleField::second_factor, age_asked(rule));
    return out;
}

}  // namespace

std::vector<std::string> decided_by(const Decision& decision, const DirectorySnapshot& directory,
                                    const Account& account, const Context& context) {
    if (decision.policy == nullptr) return {};
    const Policy& policy = *decision.policy;
    switch (decision.reason) {
        case Reason::allow_rule:
            return all_met(policy.allow[decision.rule], directory, account, context);
        case Reason::deny_rule:
            return all_met(policy.deny[decision.rule], directory, account, context);
        case Reason::device_needed:
            return {said(RuleField::device, std::string(to_word(DeviceState::active)))};
        case Reason::posture_needed:
            return {said(RuleField::posture, first_test_that_fails(policy.allow[decision.rule], context))};
        case Reason::second_factor_needed:
            return {said(RuleField::second_factor, age_asked(policy.allow[decision.rule]))};
        case Reason::account_disabled:
        case Reason::account_not_yet_valid:
        case Reason::account_expired:
        case Reason::no_allow_rule:
        case Reason::role:
            break;
    }
    return {};
}

}  // namespace usher::auth
