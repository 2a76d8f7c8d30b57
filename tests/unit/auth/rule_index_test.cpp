#include "auth/rule_index.hpp"

#include <map>
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

void ignore(const auth::PlacedRule&, auth::RuleField) {}

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
        const auto* found = index.first(alice, {}, context, ignore);
        REQUIRE(found != nullptr);
        CHECK(found->rule == &rule);
        auto bob = named("carol");
        bob.role = auth::Role::administrator;
        CHECK(index.first(bob, {}, {}, ignore) == nullptr);
    }
    CHECK(auth::RuleIndex().first(alice, {}, context, ignore) == nullptr);
    CHECK(auth::RuleIndex(std::vector<auth::PlacedRule>{}).first(alice, {}, context, ignore) == nullptr);
}

TEST_CASE("a rule that matches nobody is found by nobody") {
    Rule without_a_list;
    without_a_list.mfa_within = std::chrono::hours(1);
    auth::Context context;
    context.second_factor_age = base::Microseconds(0);
    const auth::RuleIndex index({{nullptr, false, 0, &without_a_list}});
    CHECK(index.first(named("alice"), {}, context, ignore) == nullptr);
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
    const auto* found = index.first(alice, {}, {}, ignore);
    REQUIRE(found != nullptr);
    CHECK(found->number == 490);
}

TEST_CASE("a rule that is missed is told with what it asks besides, and no other one is told") {
    auto alice = named("alice");
    alice.groups = {"staff"};
    std::vector<Rule> rules(300, Rule{{}, {"staff"}, {}});
    // More different networks than are remembered, each with an address of its own.
    for (std::size_t i = 0; i < rules.size(); ++i)
        rules[i].networks = {
            base::Cidr::parse("10.0." + std::to_string(i / 100) + "." + std::to_string(i % 100) + "/32").value()};
    rules[7].networks.clear();
    rules[7].mfa_within = std::chrono::hours(1);
    rules[8] = Rule{{}, {"others"}, {}};
    rules[9].accounts = {"bob", "carol"};  // filed under the group
    std::vector<auth::PlacedRule> placed;
    for (const auto& rule : rules) placed.push_back({nullptr, false, placed.size(), &rule});
    const auth::RuleIndex index(placed);
    for (const std::size_t meant : {0U, 63U, 64U, 65U, 299U}) {
        CAPTURE(meant);
        auth::Context context;
        context.client_address = rules[meant].networks[0].network;
        std::map<std::size_t, auth::RuleField> missed;
        const auto* found =
            index.first(alice, {}, context, [&](const auto& p, auto unmet) { missed.emplace(p.number, unmet); });
        REQUIRE(found != nullptr);
        CHECK(found->number == meant);
        for (std::size_t i = 0; i < meant; ++i) {
            const auto unmet = rules[i].first_unmet(alice, context);
            CHECK(missed.count(i) == (*unmet > auth::RuleField::role ? 1 : 0));
            if (missed.count(i) != 0) CHECK(missed[i] == *unmet);
        }
        CHECK(missed.count(8) + missed.count(9) == 0);
    }
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
            if (pick(4) == 0 || out.empty())
                out.networks = {base::Cidr::parse("10." + std::to_string(pick(3)) + ".0.0/16").value()};
            if (pick(4) == 0) out.mfa_within = std::chrono::hours(1 + pick(2));
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
        if (pick(2) == 0) context.second_factor_age = std::chrono::minutes(30 + 60 * pick(3));
        const auth::DirectorySnapshot directory(1, {someone}, {crm()}, policies);
        const auto& app = *directory.app("crm");
        const auto decision = auth::decide(directory, someone, app, context);
        const auto traces = auth::explain(directory, someone, app, context);
        const auto first = std::find_if(traces.begin(), traces.end(), [](const auto& t) { return !t.unmet; });
        const auto asks = std::find_if(traces.begin(), traces.end(), [](const auto& t) {
            return !t.deny && (t.unmet == auth::RuleField::device || t.unmet == auth::RuleField::second_factor);
        });
        const auto decided = first != traces.end() ? first : asks;
        REQUIRE((decided == traces.end()) == (decision.policy == nullptr));
        REQUIRE(decision.allowed == (first != traces.end() && !first->deny));
        if (decided == traces.end()) continue;
        REQUIRE(decided->policy == decision.policy);
        REQUIRE(decided->rule == decision.rule);
    }
}
