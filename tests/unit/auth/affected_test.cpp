#include "auth/affected.hpp"

#include <algorithm>
#include <memory>
#include <random>

#include "auth/policy.hpp"
#include "catch.hpp"
#include "tests/unit/auth/policy_support.hpp"

using namespace usher;
using namespace usher::auth;
using test::app;
using test::named;

namespace {

bool has(const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

struct Parts {
    std::vector<Account> accounts;
    std::vector<App> apps;
    std::vector<Policy> policies;
    std::vector<Department> departments;
    Snapshot snapshot() const {
        return std::make_shared<const DirectorySnapshot>(1, accounts, apps, policies, departments);
    }
};

Account account(const std::string& name, std::vector<std::string> groups = {}) {
    auto made = named(name);
    made.id = "id-" + name;
    made.groups = std::move(groups);
    return made;
}

Rule for_groups(std::vector<std::string> groups) {
    Rule rule;
    rule.groups = std::move(groups);
    return rule;
}

Policy policy_of(std::string name, std::vector<std::string> apps, std::vector<Rule> allow) {
    auto made = test::policy(std::move(name), std::move(allow));
    made.apps = std::move(apps);
    return made;
}

}  // namespace

TEST_CASE("a change of the directory is about the accounts and the apps that it changes") {
    Parts parts;
    parts.accounts = {account("alice", {"staff"}), account("bob", {"staff"})};
    parts.apps = {app("crm"), app("wiki")};
    parts.policies = {policy_of("p", {"crm"}, {for_groups({"staff"})})};
    const auto before = parts.snapshot();
    CHECK(affected_by(*before, *parts.snapshot()).nobody());

    SECTION("an account that is changed") {
        parts.accounts[0].groups.clear();
        const auto affected = affected_by(*before, *parts.snapshot());
        CHECK(affected.accounts == std::vector<std::string>{"id-alice"});
        CHECK(affected.apps.empty());
        CHECK_FALSE(affected.everybody);
    }
    SECTION("one that is gone, and one of its name behind it") {
        parts.accounts[0].id = "id-another";
        CHECK(affected_by(*before, *parts.snapshot()).accounts == std::vector<std::string>{"id-alice", "id-another"});
    }
    SECTION("a policy: the apps of before and those of now") {
        parts.policies[0].apps = {"wiki"};
        const auto affected = affected_by(*before, *parts.snapshot());
        CHECK(affected.apps == std::vector<std::string>{"crm", "wiki"});
        CHECK(affected.accounts.empty());
    }
    SECTION("a policy that is gone, and one that is new") {
        parts.policies = {policy_of("q", {"wiki"}, {for_groups({"staff"})})};
        CHECK(affected_by(*before, *parts.snapshot()).apps == std::vector<std::string>{"crm", "wiki"});
    }
    SECTION("an app, which may take another one's destinations: everybody") {
        parts.apps.push_back(app("mail"));
        CHECK(affected_by(*before, *parts.snapshot()).everybody);
    }
    SECTION("a department, which may lie in another one: everybody") {
        parts.departments.push_back({"F", "Finance", "", {}});
        CHECK(affected_by(*before, *parts.snapshot()).everybody);
    }
}

TEST_CASE("whatever changes in the directory, nobody is judged otherwise who is not among the affected") {
    std::mt19937 random(20261130);
    const auto one_of = [&](const std::vector<std::string>& from) { return from[random() % from.size()]; };
    const std::vector<std::string> names{"alice", "bob", "carol", "dave"}, groups{"g0", "g1", "g2"},
        app_names{"crm", "wiki", "mail"}, codes{"F", "F1", "S"};
    const auto random_rule = [&] {
        Rule rule;
        switch (random() % 4) {
            case 0:
                rule.accounts = {one_of(names)};
                break;
            case 1:
                rule.departments = {one_of(codes)};
                break;
            case 2:
                rule.roles = {random() % 2 ? Role::auditor : Role::employee};
                break;
            default:
                rule.groups = {one_of(groups)};
        }
        return rule;
    };
    const auto random_policy = [&](const std::string& name) {
        Policy made = policy_of(name, {one_of(app_names)}, {random_rule()});
        if (random() % 2) made.apps.push_back(one_of(app_names));
        std::sort(made.apps.begin(), made.apps.end());
        made.apps.erase(std::unique(made.apps.begin(), made.apps.end()), made.apps.end());
        if (random() % 3 == 0) made.deny = {random_rule()};
        return made;
    };
    const auto random_account = [&](const std::string& name) {
        auto made = account(name, {one_of(groups)});
        made.department = one_of(codes);
        if (random() % 4 == 0) made.role = Role::auditor;
        if (random() % 5 == 0) made.status = AccountStatus::disabled;
        return made;
    };
    Parts parts;
    for (const auto& name : names) parts.accounts.push_back(random_account(name));
    for (const auto& name : app_names) parts.apps.push_back(app(name));
    for (unsigned i = 0; i < 3; ++i) parts.policies.push_back(random_policy("p" + std::to_string(i)));
    parts.departments = {{"F", "Finance", "", {}}, {"F1", "", "F", {}}, {"S", "Sales", "", {}}};

    const Context context{base::IpAddress::parse("192.0.2.1"), base::from_micros(1'700'000'000'000'000), {}, {}, {}};
    unsigned otherwise = 0;
    for (unsigned round = 0; round < 3'000; ++round) {
        const auto before = parts.snapshot();
        const auto changes = 1 + random() % 2;
        for (unsigned i = 0; i < changes; ++i) {
            auto& some = parts.accounts[random() % parts.accounts.size()];
            auto& policy = parts.policies[random() % parts.policies.size()];
            switch (random() % 5) {
                case 0:
                    some = random_account(some.username);
                    break;
                case 1:
                    some.id += "'";
                    break;
                case 2:
                    policy = random_policy(policy.name);
                    break;
                case 3:
                    policy.name = "p" + std::to_string(3 + random() % 1'000'000);
                    break;
                default:
                    if (random() % 3 == 0) parts.apps[0].destinations = {*DestinationPattern::parse("*.example:443")};
                    if (random() % 3 == 0) parts.departments[1].parent = parts.departments[1].parent.empty() ? "F" : "";
            }
        }
        const auto after = parts.snapshot();
        const auto affected = affected_by(*before, *after);
        const auto judged = [&](const DirectorySnapshot& by, const std::string& id, const std::string& host) {
            const auto* subject = by.account_by_id(id);
            const auto* at = by.find_app({host, {}, 443});
            if (subject == nullptr || at == nullptr) return std::string("nothing");
            return at->name + (decide(by, *subject, *at, context).allowed ? " allowed" : " denied");
        };
        for (const auto& subject : before->accounts())
            for (const auto& name : app_names) {
                const auto was = judged(*before, subject.id, name + ".example");
                if (was == judged(*after, subject.id, name + ".example")) continue;
                ++otherwise;
                INFO(subject.username << " at " << name << ": " << was);
                REQUIRE((affected.everybody || has(affected.accounts, subject.id) || has(affected.apps, name)));
            }
    }
    CHECK(otherwise > 500);
}

TEST_CASE("a change of devices is about the accounts that have them") {
    Device one;
    one.id = "d-1";
    one.account_id = "alice";
    one.key_sha256[0] = 1;
    Device two = one;
    two.id = "d-2";
    two.account_id = "bob";
    two.key_sha256[0] = 2;
    const DeviceSnapshot before(1, {one, two});
    CHECK(affected_by(before, DeviceSnapshot(2, {one, two})).nobody());
    Device lost = one;
    lost.state = DeviceState::lost;
    CHECK(affected_by(before, DeviceSnapshot(2, {lost, two})).accounts == std::vector<std::string>{"alice"});
    CHECK(affected_by(before, DeviceSnapshot(2, {one})).accounts == std::vector<std::string>{"bob"});
    CHECK(affected_by(DeviceSnapshot(1, {one}), before).accounts == std::vector<std::string>{"bob"});
    Device given = one;
    given.account_id = "bob";
    CHECK(affected_by(before, DeviceSnapshot(2, {given, two})).accounts == std::vector<std::string>{"alice", "bob"});
}
