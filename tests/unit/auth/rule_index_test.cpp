#include "auth/rule_index.hpp"

#include <random>

#include "auth/policy.hpp"
#include "auth/support.hpp"

using namespace usher;
using namespace usher::test;
using auth::Rule;

namespace {

auth::App crm() {
    auth::App out;
    out.name = "crm";
    out.destinations = {auth::DestinationPattern::parse("10.0.0.1:1").value()};
    return out;
}

std::vector<std::string> numbered(const std::string& word, std::size_t from, std::size_t count) {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(word + std::to_string(from + i));
    return out;
}

}  // namespace

TEST_CASE("rules are found under whichever list they are filed, and under none") {
    auto alice = named("alice");
    alice.groups = {"a", "staff"};
    alice.department = "Finance";
    alice.role = auth::Role::auditor;
    auto many = numbered("user", 0, auth::RuleIndex::listed_max);
    many.push_back("alice");
    Rule by_role, by_network, by_nothing_of_hers{{"bob"}, {"b"}, {"Sales"}};
    by_role.roles = {auth::Role::employee, auth::Role::auditor, auth::Role::auditor};
    by_network.networks = {base::Cidr::parse("0.0.0.0/0").value()};
    const std::vector<Rule> rules{Rule{{"alice"}, {}, {}},
                                  Rule{{}, {"staff"}, {}},
                                  Rule{{}, {}, {"Finance"}},
                                  Rule{many, {}, {}},
                                  Rule{many, {"x", "staff"}, {}},
                                  by_role,
                                  by_network};
    auth::Context context;
    context.client_address = base::IpAddress::parse("192.0.2.1");
    for (const auto& rule : rules) {
        const std::vector<auth::PlacedRule> placed{{nullptr, false, 0, &by_nothing_of_hers},
                                                   {nullptr, false, 1, &rule}};
        const auth::RuleIndex index(placed);
        const auto matches = [&](const auth::PlacedRule& p) { return p.rule->matches(alice, context); };
        const auto* found = index.first(alice, {}, matches);
        REQUIRE(found != nullptr);
        CHECK(found->rule == &rule);
        auto bob = named("carol");
        bob.role = auth::Role::administrator;
        CHECK(index.first(bob, {}, [&](const auto& p) { return p.rule->matches(bob, {}); }) == nullptr);
    }
    CHECK(auth::RuleIndex().first(alice, {}, [](const auto&) { return true; }) == nullptr);
    CHECK(auth::RuleIndex(std::vector<auth::PlacedRule>{}).first(alice, {}, [](const auto&) { return true; }) ==
          nullptr);
}

TEST_CASE("of many rules that match the first one is found") {
    auto alice = named("alice");
    alice.groups = numbered("group", 0, 10);
    std::vector<Rule> rules;
    for (std::size_t i = 0; i < 500; ++i) rules.push_back(Rule{{}, {"group" + std::to_string(499 - i)}, {}});
    rules.push_back(Rule{{"alice"}, {}, {}});
    std::vector<auth::PlacedRule> placed;
    for (const auto& rule : rules) placed.push_back({nullptr, false, placed.size(), &rule});
    const auth::RuleIndex index(placed);
    std::size_t read = 0;
    const auto* found = index.first(alice, {}, [&](const auth::PlacedRule& p) {
        ++read;
        return p.rule->matches(alice, {});
    });
    REQUIRE(found != nullptr);
    CHECK(found->number == 490);
    CHECK(read <= 11);
}

TEST_CASE("random rules about anything decide as they are explained") {
    std::mt19937 random(20261129);
    const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    for (int round = 0; round < 2'000; ++round) {
        const auto rule = [&] {
            Rule out;
            // Some lists are too long to be filed.
            if (pick(3) == 0) out.accounts = numbered("u", pick(3), pick(4) == 0 ? 70 : 2);
            if (pick(3) == 0) out.groups = numbered("g", pick(3), pick(4) == 0 ? 70 : 2);
            if (pick(4) == 0) out.departments = numbered("d", pick(3), 1);
            if (pick(4) == 0) out.roles = {static_cast<auth::Role>(pick(3))};
            if (pick(4) == 0) out.devices = {auth::DeviceState::active};
            if (pick(4) == 0 || out.empty()) out.networks = {base::Cidr::parse("10.0.0.0/8").value()};
            return out;
        };
        std::vector<auth::Policy> policies(pick(5));
        for (std::size_t i = 0; i < policies.size(); ++i) {
            policies[i].name = "p" + std::to_string(i);
            policies[i].apps = {"crm"};
            for (std::size_t n = pick(4); n > 0; --n) policies[i].allow.push_back(rule());
            for (std::size_t n = pick(2); n > 0; --n) policies[i].deny.push_back(rule());
        }
        auto someone = named("u" + std::to_string(pick(4)));
        someone.groups = numbered("g", pick(4), pick(3));
        someone.department = "d" + std::to_string(pick(4));
        someone.role = static_cast<auth::Role>(pick(3));
        auth::Context context;
        if (pick(2) == 0) context.client_address = base::IpAddress::parse("10.1.2.3");
        if (pick(2) == 0) context.device = auth::DeviceState::active;
        const auth::DirectorySnapshot directory(1, {someone}, {crm()}, policies);
        const auto& app = *directory.app("crm");
        const auto decision = auth::decide(directory, someone, app, context);
        const auto traces = auth::explain(directory, someone, app, context);
        const auto first = std::find_if(traces.begin(), traces.end(), [](const auto& t) { return !t.unmet; });
        const auto asks = std::find_if(traces.begin(), traces.end(),
                                       [](const auto& t) { return !t.deny && t.unmet == auth::RuleField::device; });
        const auto decided = first != traces.end() ? first : asks;
        REQUIRE((decided == traces.end()) == (decision.policy == nullptr));
        REQUIRE(decision.allowed == (first != traces.end() && !first->deny));
        if (decided == traces.end()) continue;
        REQUIRE(decided->policy == decision.policy);
        REQUIRE(decided->rule == decision.rule);
    }
}
