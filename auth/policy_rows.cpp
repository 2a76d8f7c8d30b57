#include <algorithm>
#include <unordered_map>

#include "auth/directory_rows.hpp"
#include "auth/row_checks.hpp"
#include "base/text.hpp"

namespace usher::auth::rows {
namespace {

using base::sql::Transaction;
using base::sql::Value;
using namespace std::chrono_literals;

/// Adds one value to the list that `field` names; false when there is no such list, or the value is not in its form.
bool add_value(Rule& rule, const std::string& policy, const std::string& field, std::int64_t position,
               const std::string& value) {
    const auto append = [&](auto& list, auto item) { append_at("policies", policy, list, position, std::move(item)); };
    if (field == "account") return append(rule.accounts, value), true;
    if (field == "group") return append(rule.groups, value), true;
    if (field == "department") return append(rule.departments, value), true;
    if (field == "role") {
        const auto role = role_from_word(value);
        return role && (append(rule.roles, *role), true);
    }
    if (field == "network") {
        const auto network = base::Cidr::parse(value);
        return network && network->to_string() == value && (append(rule.networks, *network), true);
    }
    if (field == "mfa_within") {
        rule.mfa_within = base::parse_duration(value);
        return position == 0 && rule.mfa_within && base::format_duration(*rule.mfa_within) == value;
    }
    if (field == "time") {
        const auto window = TimeWindow::parse(value);
        return window && window->to_string() == value && (append(rule.times, *window), true);
    }
    if (field == "device") {
        const auto state = device_state_from_word(value);
        return state && (append(rule.devices, *state), true);
    }
    if (field == "posture") {
        const auto test = PostureTest::parse(value);
        return test && test->to_string() == value && (append(rule.posture, *test), true);
    }
    return false;
}

void insert_rules(Transaction& transaction, const Policy& policy, const std::string& effect,
                  const std::vector<Rule>& rules) {
    for (std::size_t i = 0; i < rules.size(); ++i) {
        const auto insert = [&](const char* field, const auto& values, auto text_of) {
            for (std::size_t n = 0; n < values.size(); ++n) {
                transaction.execute(
                    "INSERT INTO policy_rule_values (policy, effect, rule, field, position, value) "
                    "VALUES ($1, $2, $3, $4, $5, $6)",
                    {policy.name, effect, static_cast<std::int64_t>(i), std::string(field),
                     static_cast<std::int64_t>(n), text_of(values[n])});
            }
        };
        const auto itself = [](const std::string& text) { return text; };
        insert("account", rules[i].accounts, itself);
        insert("group", rules[i].groups, itself);
        insert("department", rules[i].departments, itself);
        insert("role", rules[i].roles, [](Role role) { return std::string(to_word(role)); });
        insert("network", rules[i].networks, [](const base::Cidr& network) { return network.to_string(); });
        insert("time", rules[i].times, [](const TimeWindow& window) { return window.to_string(); });
        insert("device", rules[i].devices, [](DeviceState state) { return std::string(to_word(state)); });
        insert("posture", rules[i].posture, [](const PostureTest& test) { return test.to_string(); });
        const std::vector<base::Microseconds> ages(rules[i].mfa_within ? 1 : 0, rules[i].mfa_within.value_or(0s));
        insert("mfa_within", ages, base::format_duration);
    }
}

void insert_expectations(Transaction& transaction, const Policy& policy) {
    for (std::size_t i = 0; i < policy.expect.size(); ++i) {
        const auto& expected = policy.expect[i];
        const auto& address = expected.context.client_address;
        const auto& time = expected.context.time;
        const auto& age = expected.context.second_factor_age;
        const auto& device = expected.context.device;
        const auto& posture = expected.context.posture;
        transaction.execute(
            "INSERT INTO policy_expectations (policy, position, account, app, client_ip, at, allow, second_factor_age, "
            "device, posture) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            {policy.name, static_cast<std::int64_t>(i), expected.account, expected.app,
             address ? Value(address->to_string()) : Value(), time ? Value(base::to_micros(*time)) : Value(),
             std::int64_t{expected.allow}, age ? Value(age->count()) : Value(),
             device ? Value(std::string(to_word(*device))) : Value(), posture ? Value(posture->to_lines()) : Value()});
    }
}

Expectation read_expectation(const base::sql::Row& row) {
    Expectation expected{row.text(2), row.text(3), {}, row.integer(6) != 0};
    if (const auto text = row.maybe_text(4)) {
        expected.context.client_address = base::IpAddress::parse(*text);
        if (!expected.context.client_address || expected.context.client_address->to_string() != *text)
            corrupt("policies", row.text(0), "expects something of a malformed address");
    }
    if (const auto time = row.maybe_integer(5)) expected.context.time = base::from_micros(*time);
    if (const auto age = row.maybe_integer(7)) expected.context.second_factor_age = base::Microseconds{*age};
    if (const auto device = row.maybe_text(8)) {
        expected.context.device = device_state_from_word(*device);
        if (!expected.context.device) corrupt("policies", row.text(0), "expects something of an unknown device state");
    }
    if (const auto text = row.maybe_text(9)) {
        auto posture = Posture::from_lines(*text);
        if (!posture) corrupt("policies", row.text(0), "expects something of a malformed posture");
        expected.context.posture = std::make_shared<const Posture>(std::move(*posture));
    }
    return expected;
}

}  // namespace

std::vector<Policy> read_policies(Transaction& transaction) {
    std::vector<Policy> policies;
    std::unordered_map<std::string, std::size_t> index;
    for (const auto& row : transaction.execute("SELECT name, updated_at FROM policies")) {
        Policy policy;
        policy.name = row.text(0);
        policy.updated_at = base::from_micros(row.integer(1));
        index.emplace(policy.name, policies.size());
        policies.push_back(std::move(policy));
    }
    const auto policy_of = [&](std::string_view table, const std::string& name) -> Policy& {
        const auto found = index.find(name);
        if (found == index.end()) corrupt(table, name, "belongs to no policy");
        return policies[found->second];
    };
    for (const auto& row :
         transaction.execute("SELECT policy, position, app FROM policy_apps ORDER BY policy, position")) {
        auto& policy = policy_of("policy_apps", row.text(0));
        append_at("policies", policy.name, policy.apps, row.integer(1), row.text(2));
    }
    for (const auto& row :
         transaction.execute("SELECT policy, effect, rule, field, position, value FROM policy_rule_values "
                             "ORDER BY policy, effect, rule, field, position")) {
        auto& policy = policy_of("policy_rule_values", row.text(0));
        const auto& effect = row.text(1);
        if (effect != "allow" && effect != "deny")
            corrupt("policies", policy.name, "has an effect that does not exist");
        auto& rules = effect == "allow" ? policy.allow : policy.deny;
        const auto rule_index = row.integer(2);
        if (rule_index == static_cast<std::int64_t>(rules.size())) rules.emplace_back();
        if (rule_index + 1 != static_cast<std::int64_t>(rules.size())) corrupt("policies", policy.name, "lacks a rule");
        if (!add_value(rules.back(), policy.name, row.text(3), row.integer(4), row.text(5)))
            corrupt("policies", policy.name, "has a rule about something unknown");
    }
    for (const auto& row :
         transaction.execute("SELECT policy, position, account, app, client_ip, at, allow, second_factor_age, device, "
                             "posture "
                             "FROM policy_expectations "
                             "ORDER BY policy, position")) {
        auto& policy = policy_of("policy_expectations", row.text(0));
        append_at("policies", policy.name, policy.expect, row.integer(1), read_expectation(row));
    }
    for (const auto& policy : policies) must_be_canonical("policies", policy.name, policy);
    return policies;
}

void put(Transaction& transaction, const Policy& policy) {
    transaction.execute(
        "INSERT INTO policies (name, updated_at) VALUES ($1, $2) "
        "ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at",
        {policy.name, base::to_micros(policy.updated_at)});
    transaction.execute("DELETE FROM policy_apps WHERE policy = $1", {policy.name});
    transaction.execute("DELETE FROM policy_rule_values WHERE policy = $1", {policy.name});
    transaction.execute("DELETE FROM policy_expectations WHERE policy = $1", {policy.name});
    for (std::size_t i = 0; i < policy.apps.size(); ++i) {
        transaction.execute("INSERT INTO policy_apps (policy, position, app) VALUES ($1, $2, $3)",
                            {policy.name, static_cast<std::int64_t>(i), policy.apps[i]});
    }
    insert_rules(transaction, policy, "allow", policy.allow);
    insert_rules(transaction, policy, "deny", policy.deny);
    insert_expectations(transaction, policy);
}

void erase_policy(Transaction& transaction, const std::string& name) {
    transaction.execute("DELETE FROM policies WHERE name = $1", {name});
    must_change_one(transaction, "policies");
}

}  // namespace usher::auth::rows
