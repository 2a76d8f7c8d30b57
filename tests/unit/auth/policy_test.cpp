#include "auth/policy.hpp"

#include <random>

#include "catch.hpp"

using namespace usher;
using auth::Account;
using auth::App;
using auth::Policy;
using auth::Rule;

namespace {

Account account(std::string username, std::string department, std::vector<std::string> groups) {
    Account out;
    out.id = "id-" + username;
    out.username = std::move(username);
    out.department = std::move(department);
    out.groups = std::move(groups);
    return out;
}

App app(std::string name, std::vector<std::string> destinations = {}) {
    App out;
    out.name = std::move(name);
    for (const auto& text : destinations) out.destinations.push_back(auth::DestinationPattern::parse(text).value());
    return out;
}

Policy policy(std::string name, std::vector<std::string> apps, std::vector<Rule> allow, std::vector<Rule> deny = {}) {
    Policy out;
    out.name = std::move(name);
    out.apps = std::move(apps);
    out.allow = std::move(allow);
    out.deny = std::move(deny);
    return out;
}

const Rule finance{{}, {}, {"Finance"}}, sales{{}, {"sales"}, {}}, alice_only{{"alice"}, {}, {}};

/// Where no rule asks for a network or a time.
const auth::Context anywhere;

}  // namespace

TEST_CASE("without an allow rule the verdict is deny") {
    const auto alice = account("alice", "Finance", {});
    const auth::DirectorySnapshot directory(
        7, {alice}, {app("crm"), app("wiki")},
        {policy("p", {"wiki"}, {finance}), policy("q", {"crm"}, {sales}), policy("r", {"crm"}, {Rule{}})});
    const auto decision = auth::decide(directory, alice, *directory.app("crm"), anywhere);
    CHECK_FALSE(decision.allowed);
    CHECK(decision.text() == "no-allow-rule");
    CHECK(decision.policy_name().empty());
    CHECK(decision.policy_version == 7);
    CHECK_FALSE(auth::decide(auth::DirectorySnapshot(), alice, app("crm"), anywhere).allowed);
}

TEST_CASE("the first allow rule in the order of the policies' names is the reason") {
    const auto alice = account("alice", "Finance", {"sales"});
    const auth::DirectorySnapshot directory(
        1, {alice}, {app("crm")},
        {policy("z", {"crm"}, {finance}), policy("b", {"crm"}, {Rule{{"bob"}, {}, {}}, sales})});
    const auto decision = auth::decide(directory, alice, *directory.app("crm"), anywhere);
    CHECK(decision.allowed);
    CHECK(decision.text() == "allow-rule b/allow[1] by group");
    CHECK(decision.policy_name() == "b");
}

TEST_CASE("a deny rule of any policy wins over every allow rule") {
    const auto alice = account("alice", "Finance", {"sales"});
    const auth::DirectorySnapshot directory(
        1, {alice}, {app("crm")},
        {policy("a", {"crm"}, {finance, sales, alice_only}), policy("z", {"crm"}, {}, {sales, alice_only})});
    const auto decision = auth::decide(directory, alice, *directory.app("crm"), anywhere);
    CHECK_FALSE(decision.allowed);
    CHECK(decision.text() == "deny-rule z/deny[0] by group");
    CHECK(decision.policy_name() == "z");
}

TEST_CASE("a disabled account is denied before any rule") {
    auto alice = account("alice", "Finance", {});
    alice.status = auth::AccountStatus::disabled;
    alice.role = auth::Role::administrator;
    const auth::DirectorySnapshot directory(1, {alice}, {app("crm")}, {policy("p", {"crm"}, {finance})});
    CHECK(auth::decide(directory, alice, *directory.app("crm"), anywhere).text() == "account-disabled");
    CHECK_FALSE(auth::decide(directory, alice, *directory.app("crm"), anywhere).allowed);
    CHECK(auth::decide_control(directory, alice, anywhere).text() == "account-disabled");
    CHECK_FALSE(auth::decide_control(directory, alice, anywhere).allowed);
}

TEST_CASE("administrators and auditors reach the control API, employees do not") {
    auto alice = account("alice", "", {});
    const auth::DirectorySnapshot directory(3, {}, {}, {});
    CHECK_FALSE(auth::decide_control(directory, alice, anywhere).allowed);
    CHECK(auth::decide_control(directory, alice, anywhere).text() == "role employee");
    alice.role = auth::Role::auditor;
    CHECK(auth::decide_control(directory, alice, anywhere).allowed);
    alice.role = auth::Role::administrator;
    CHECK(auth::decide_control(directory, alice, anywhere).allowed);
    CHECK(auth::decide_control(directory, alice, anywhere).text() == "role administrator");
    CHECK(auth::decide_control(directory, alice, anywhere).policy_version == 3);
    // A role gives no app.
    CHECK_FALSE(auth::decide(directory, alice, app("crm"), anywhere).allowed);
}

TEST_CASE("random policies decide as a naive reading of the rules does") {
    std::mt19937 random(20261123);
    const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    const std::vector<std::string> users{"a", "b", "c"}, groups{"g", "h", "i"}, departments{"D", "E"}, apps{"x", "y"};
    const auto some = [&](const std::vector<std::string>& from) {
        std::vector<std::string> out;
        for (const auto& value : from) {
            if (pick(3) == 0) out.push_back(value);
        }
        return out;
    };
    const auto rules = [&] {
        std::vector<Rule> out;
        while (pick(2) == 0) out.push_back({some(users), some(groups), some(departments)});
        return out;
    };
    std::size_t allowed = 0, denied = 0;
    for (int round = 0; round < 5'000; ++round) {
        std::vector<Policy> policies;
        for (std::size_t i = 0, n = pick(4); i < n; ++i) {
            policies.push_back(
                policy("p" + std::to_string(i), some(apps), rules(), pick(3) == 0 ? rules() : std::vector<Rule>{}));
        }
        auto someone = account(users[pick(3)], departments[pick(2)], some(groups));
        if (pick(10) == 0) someone.status = auth::AccountStatus::disabled;
        const auto& wanted = apps[pick(2)];

        const auto has = [](const auto& list, const auto& value) {
            for (const auto& item : list) {
                if (item == value) return true;
            }
            return false;
        };
        const auto applies = [&](const Rule& rule) {
            bool in_group = false;
            for (const auto& group : someone.groups) in_group = in_group || has(rule.groups, group);
            const bool says_something = !rule.accounts.empty() || !rule.groups.empty() || !rule.departments.empty();
            return says_something && (rule.accounts.empty() || has(rule.accounts, someone.username)) &&
                   (rule.groups.empty() || in_group) &&
                   (rule.departments.empty() || has(rule.departments, someone.department));
        };
        bool any_allow = false, any_deny = false;
        for (const auto& p : policies) {
            if (!has(p.apps, wanted)) continue;
            for (const auto& rule : p.allow) any_allow = any_allow || applies(rule);
            for (const auto& rule : p.deny) any_deny = any_deny || applies(rule);
        }
        const bool expected = someone.status == auth::AccountStatus::active && any_allow && !any_deny;

        const auth::DirectorySnapshot directory(1, {someone}, {app("x"), app("y")}, policies);
        const auto decision = auth::decide(directory, someone, *directory.app(wanted), anywhere);
        REQUIRE(decision.allowed == expected);
        REQUIRE(decision.policy_name().empty() == (decision.text().find(' ') == std::string::npos));
        // What is explained and what is decided are the same reading of the rules.
        const auto traces = auth::explain(directory, someone, *directory.app(wanted), anywhere);
        const auto first = std::find_if(traces.begin(), traces.end(), [](const auto& t) { return !t.unmet; });
        if (someone.status == auth::AccountStatus::active) {
            REQUIRE((first == traces.end()) == (decision.policy == nullptr));
            if (first != traces.end()) {
                REQUIRE(first->policy == decision.policy);
                REQUIRE(first->rule == decision.rule);
                REQUIRE(first->deny == !decision.allowed);
            }
        }
        ++(expected ? allowed : denied);
    }
    CHECK(allowed > 200);
    CHECK(denied > 200);
}

TEST_CASE("a destination belongs to the app that names it most closely") {
    const auth::DirectorySnapshot directory(
        1, {},
        {app("any", {"*.example:1-65535"}), app("below", {"*.crm.example:1-65535"}),
         app("exact", {"a.crm.example:443"}), app("web", {"a.crm.example:440-450"}), app("twin-b", {"*.t.example:80"}),
         app("twin-a", {"*.t.example:80"}), app("world", {"0.0.0.0/0:1-65535"}), app("net", {"10.0.0.0/8:1-65535"}),
         app("host", {"10.1.2.3:22"}), app("net-web", {"10.0.0.0/8:80"}), app("six", {"[2001:db8::/32]:22"}),
         app("inner", {"*.internal:443"})},
        {});
    const auto found = [&](const char* host, std::uint16_t port) -> std::string {
        base::Destination destination{host, base::IpAddress::parse(host), port};
        const App* hit = directory.find_app(destination);
        return hit == nullptr ? "" : hit->name;
    };
    CHECK(found("a.crm.example", 443) == "exact");
    CHECK(found("a.crm.example", 444) == "web");
    CHECK(found("a.crm.example", 22) == "below");
    CHECK(found("b.a.crm.example", 443) == "below");
    CHECK(found("crm.example", 443) == "any");
    CHECK(found("example", 443).empty());
    CHECK(found("x.t.example", 80) == "twin-a");
    CHECK(found("10.1.2.3", 22) == "host");
    CHECK(found("10.1.2.3", 23) == "net");
    CHECK(found("10.9.9.9", 80) == "net-web");
    CHECK(found("11.0.0.1", 80) == "world");
    CHECK(found("::ffff:10.1.2.3", 22) == "host");
    CHECK(found("2001:db8::9", 22) == "six");
    CHECK(found("2001:db8::9", 23).empty());
    CHECK(found("2001:db9::9", 22).empty());
    // The gateway's own names are nobody's, whatever a wildcard says.
    CHECK(found("x.internal", 443) == "inner");
    CHECK(found("usher.internal", 443).empty());
    CHECK(found("control.usher.internal", 443).empty());
}
