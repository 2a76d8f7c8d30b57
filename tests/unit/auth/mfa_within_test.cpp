#include "auth/policy.hpp"
#include "auth/policy_support.hpp"
#include "auth/sessions.hpp"

using namespace usher;
using namespace usher::test;
using auth::Context;
using auth::Rule;
using auth::RuleField;
using base::Errc;
using namespace std::chrono_literals;

namespace {

Rule staff_with_factor(base::Microseconds within = 12h) {
    Rule rule{{}, {"staff"}, {}};
    rule.mfa_within = within;
    return rule;
}

Context with_age(base::Microseconds age) {
    Context context;
    context.second_factor_age = age;
    return context;
}

std::string decision(const auth::DirectorySnapshot& directory, const auth::Account& account, const Context& context) {
    return auth::decide(directory, account, *directory.app("crm"), context).text();
}

}  // namespace

TEST_CASE("a rule may ask for a second factor of a certain age, and none is too old") {
    const auto rule = staff_with_factor();
    CHECK(rule.matches(staff(), with_age(0s)));
    CHECK(rule.matches(staff(), with_age(12h - 1us)));
    CHECK(rule.first_unmet(staff(), with_age(12h)) == RuleField::second_factor);
    CHECK(rule.first_unmet(staff(), {}) == RuleField::second_factor);
    CHECK(rule.first_unmet(named("bob"), {}) == RuleField::group);
    Rule alone;
    alone.mfa_within = 12h;
    CHECK_FALSE(alone.matches(staff(), with_age(0s)));
}

TEST_CASE("that a second factor is needed is said only where nothing else is missing") {
    const auto alice = staff();
    const auto bob = named("bob");
    const auth::DirectorySnapshot asks(1, {alice, bob}, {crm()}, {policy("p", {staff_with_factor()})});
    CHECK(asks.shortest_mfa_within() == base::Microseconds{12h});
    CHECK(decision(asks, alice, with_age(1h)) == "allow-rule p/allow[0] by group and second-factor");
    CHECK(decision(asks, alice, {}) == "second-factor-needed p/allow[0]");
    CHECK(decision(asks, alice, with_age(13h)) == "second-factor-needed p/allow[0]");
    CHECK(decision(asks, bob, {}) == "no-allow-rule");
    const auto needed = auth::decide(asks, alice, *asks.app("crm"), {});
    CHECK_FALSE(needed.allowed);
    CHECK(needed.policy_name() == "p");

    const auth::DirectorySnapshot denies(1, {alice}, {crm()},
                                         {policy("p", {staff_with_factor()}, {Rule{{"alice"}, {}, {}}})});
    CHECK(decision(denies, alice, {}) == "deny-rule p/deny[0] by account");
    const auth::DirectorySnapshot either(
        1, {alice}, {crm()},
        {policy("p", {staff_with_factor()}), policy("q", {staff_with_factor(1h), Rule{{"alice"}, {}, {}}})});
    CHECK(decision(either, alice, {}) == "allow-rule q/allow[1] by account");
    CHECK(either.shortest_mfa_within() == base::Microseconds{1h});
    CHECK_FALSE(auth::DirectorySnapshot(1, {}, {crm()}, {policy("p", {Rule{{"a"}, {}, {}}})}).shortest_mfa_within());
}

TEST_CASE("mfa_within is kept, stands in allow rules only and within bounds") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        auto account = staff();
        must(f.directory->create_account(account, test_hash, no_record));
        auto asks = policy("p", {staff_with_factor()});
        auth::Expectation fresh{"alice", "crm", with_age(1h), true}, old{"alice", "crm", with_age(13h), false};
        asks.expect = {fresh, old, {"alice", "crm", {}, false}};
        must(f.directory->apply({crm(), asks}, f.recorder.function()));
        CHECK(f.recorder.changes[1].after_json.find("\"mfa_within\":\"12h\"") != std::string::npos);
        CHECK(f.recorder.changes[1].after_json.find("\"second_factor_age\":\"13h\"") != std::string::npos);

        const auto other = test.open();
        const auto again = must(auth::Directory::open(*other, f.clock));
        const auto& kept = *again->snapshot()->policy("p");
        CHECK(kept.allow[0].mfa_within == base::Microseconds{12h});
        CHECK(kept.expect == asks.expect);

        const auto refused = [&](Rule rule, bool deny = false) {
            const auto wrong = deny ? policy("p", {Rule{{"a"}, {}, {}}}, {rule}) : policy("p", {rule});
            return error_of(f.directory->apply({wrong}, no_record)).message;
        };
        CHECK(refused(staff_with_factor(), true) ==
              "resources[0].deny[0].mfa_within: belongs into rules of 'allow' only");
        CHECK(refused(staff_with_factor(1us)).find("allow[0].mfa_within: must be from 1s") != std::string::npos);
        CHECK(refused(staff_with_factor(24h * 400)).find("allow[0].mfa_within: must be from 1s") != std::string::npos);
        Rule alone;
        alone.mfa_within = 1h;
        CHECK(refused(alone).find("allow[0]: is empty") != std::string::npos);
        asks.expect = {{"alice", "crm", with_age(13h), true}};
        CHECK(error_of(f.directory->apply({asks}, no_record)).message.find("second-factor-needed p/allow[0]") !=
              std::string::npos);
        f.tamper("UPDATE policy_rule_values SET value = '720m' WHERE field = 'mfa_within'");
        CHECK(error_of(auth::Directory::open(*other, f.clock)).code == Errc::data_loss);
    });
}

TEST_CASE("the age of a session's second factor goes on through restarts and is renewed") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        const auto alice = f.create("alice");
        auto sessions = must(auth::Sessions::open(f.unreliable, f.clock, {}));
        const auto without = must(sessions->create(alice, "192.0.2.1", {}));
        const auto with = must(sessions->create(alice, "192.0.2.1", {}, true));
        CHECK_FALSE(sessions->second_factor_age(*without.session));
        CHECK(sessions->second_factor_age(*with.session) == base::Microseconds{0});
        f.clock.advance(1h);
        CHECK(sessions->second_factor_age(*with.session) == base::Microseconds{1h});
        f.clock.step_utc(f.clock.utc() + 24h);  // the wall clock is a label
        CHECK(sessions->second_factor_age(*with.session) == base::Microseconds{1h});
        f.clock.step_utc(f.clock.utc() - 24h);

        auto elsewhere = must(auth::Sessions::open(*f.database, f.clock, {}));
        const auto there = elsewhere->find(with.session->id);
        CHECK(elsewhere->second_factor_age(*there) == base::Microseconds{1h});
        CHECK_FALSE(elsewhere->second_factor_age(*elsewhere->find(without.session->id)));

        f.clock.advance(1h);
        must(sessions->renew_second_factor(*with.session));
        must(sessions->renew_second_factor(*without.session));
        CHECK(sessions->second_factor_age(*with.session) == base::Microseconds{0});
        CHECK(elsewhere->second_factor_age(*there) == base::Microseconds{2h});
        f.clock.advance(1min);
        CHECK_FALSE(must(elsewhere->refresh()).nobody());
        CHECK(elsewhere->second_factor_age(*there) == base::Microseconds{1min});

        f.unreliable.mode = UnreliableDatabase::Mode::away;
        CHECK(error_of(sessions->renew_second_factor(*with.session)).code == Errc::unavailable);
        CHECK(sessions->second_factor_age(*with.session) == base::Microseconds{1min});
        f.unreliable.mode = UnreliableDatabase::Mode::works;
        must(sessions->end(with.session->id, auth::SessionEnd::revoked, {}));
        CHECK(error_of(sessions->renew_second_factor(*with.session)).code == Errc::not_found);
    });
}
