#include <algorithm>

#include "auth/next_change.hpp"
#include "auth/policy.hpp"
#include "auth/support.hpp"
#include "base/text.hpp"

using namespace usher;
using namespace usher::test;
using auth::Context;
using auth::Rule;
using auth::RuleField;

namespace {

base::UtcTime at(const char* text) { return base::parse_rfc3339(text).value(); }

Rule office_rule() {
    Rule rule{{}, {"staff"}, {}};
    rule.networks = {base::Cidr::parse("10.0.0.0/8").value(), base::Cidr::parse("2001:db8::/32").value()};
    rule.times = {auth::TimeWindow::parse("mon-fri 08:00-18:00 UTC").value()};
    return rule;
}

auth::Account staff(std::string username) {
    auto account = named(std::move(username));
    account.groups = {"staff"};
    return account;
}

auth::App app(const std::string& name, int port) {
    auth::App out;
    out.name = name;
    out.destinations = {auth::DestinationPattern::parse("10.0.0.1:" + std::to_string(port)).value()};
    return out;
}

auth::Policy policy(std::string name, std::vector<Rule> allow, std::vector<auth::Expectation> expect = {}) {
    auth::Policy out;
    out.name = std::move(name);
    out.apps = {"crm"};
    out.allow = std::move(allow);
    out.expect = std::move(expect);
    return out;
}

}  // namespace

TEST_CASE("a rule's conditions are all asked, and the first that is not met is named") {
    const auto alice = staff("alice");
    const auto rule = office_rule();
    const auto inside = base::IpAddress::parse("10.1.2.3");
    const auto noon = at("2026-11-24T12:00:00Z");
    CHECK(rule.matches(alice, {inside, noon}));
    CHECK(rule.matches(alice, {base::IpAddress::parse("2001:db8::7"), noon}));
    CHECK(rule.first_unmet(alice, {base::IpAddress::parse("192.0.2.1"), noon}) == RuleField::network);
    CHECK(rule.first_unmet(alice, {inside, at("2026-11-24T18:00:00Z")}) == RuleField::time);
    CHECK(rule.first_unmet(named("bob"), {inside, noon}) == RuleField::group);
    // What is not known is in no list.
    CHECK(rule.first_unmet(alice, {std::nullopt, noon}) == RuleField::network);
    CHECK(rule.first_unmet(alice, {inside, std::nullopt}) == RuleField::time);

    Rule by_role;
    by_role.roles = {auth::Role::auditor, auth::Role::administrator};
    CHECK_FALSE(by_role.matches(alice, {}));
    auto auditor = alice;
    auditor.role = auth::Role::auditor;
    CHECK(by_role.matches(auditor, {}));
    CHECK_FALSE(Rule{}.matches(auditor, {}));
}

TEST_CASE("the reason names every condition of the rule that decided") {
    const auto alice = staff("alice");
    const auth::DirectorySnapshot directory(1, {alice}, {app("crm", 1)}, {policy("p", {office_rule()})});
    const Context inside{base::IpAddress::parse("10.1.2.3"), at("2026-11-24T12:00:00Z")};
    CHECK(auth::decide(directory, alice, *directory.app("crm"), inside).text() ==
          "allow-rule p/allow[0] by group, network and time");
    CHECK(auth::decide(directory, alice, *directory.app("crm"), {}).text() == "no-allow-rule");
}

TEST_CASE("an account may do nothing before and after its validity") {
    auto alice = staff("alice");
    alice.valid_from = at("2026-12-01T00:00:00Z");
    alice.valid_until = at("2027-01-01T00:00:00Z");
    alice.role = auth::Role::administrator;
    const auth::DirectorySnapshot directory(1, {alice}, {app("crm", 1)}, {policy("p", {Rule{{"alice"}, {}, {}}})});
    const auto word = [&](const char* time) {
        const Context context{{}, at(time)};
        const auto decision = auth::decide(directory, alice, *directory.app("crm"), context);
        CHECK(auth::decide_control(directory, alice, context).allowed == decision.allowed);
        return decision.text();
    };
    CHECK(word("2026-11-30T23:59:59.999999Z") == "account-not-yet-valid");
    CHECK(word("2026-12-01T00:00:00Z") == "allow-rule p/allow[0] by account");
    CHECK(word("2026-12-31T23:59:59.999999Z") == "allow-rule p/allow[0] by account");
    CHECK(word("2027-01-01T00:00:00Z") == "account-expired");

    // Live accesses are judged again when one of the two is passed, and not for nothing.
    CHECK(auth::time_matters(directory, at("2026-11-30T23:59:59Z"), at("2026-12-01T00:00:00Z")));
    CHECK_FALSE(auth::time_matters(directory, at("2026-12-01T00:00:00Z"), at("2026-12-01T00:00:01Z")));
    CHECK_FALSE(auth::time_matters(directory, at("2026-12-02T00:00:00Z"), at("2026-12-03T00:00:00Z")));
    CHECK(auth::time_matters(directory, at("2026-12-31T23:00:00Z"), at("2027-02-01T00:00:00Z")));
    CHECK(auth::time_matters(directory, at("2026-12-31T23:00:00Z"), at("2026-12-31T22:00:00Z")));
    CHECK(auth::next_time_that_matters(directory, at("2026-11-01T00:00:00Z")) == at("2026-12-01T00:00:00Z"));
    CHECK(auth::next_time_that_matters(directory, at("2026-12-01T00:00:00Z")) == at("2027-01-01T00:00:00Z"));
    CHECK_FALSE(auth::next_time_that_matters(directory, at("2027-01-01T00:00:00Z")).has_value());
}

TEST_CASE("the time until the next change is bounded, however far away that is") {
    using namespace std::chrono_literals;
    const auto now = at("2026-11-24T12:00:00Z");
    CHECK(auth::time_until({}, now, 200ms) == 200ms);
    CHECK(auth::time_until(at("2026-11-24T12:00:00.05Z"), now, 200ms) == 50ms);
    CHECK(auth::time_until(at("2026-11-24T12:00:00.2Z"), now, 200ms) == 200ms);
    CHECK(auth::time_until(now, now, 200ms) == 0us);
    for (const char* past : {"1970-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "2026-11-24T11:59:59.999999Z"})
        CHECK(auth::time_until(at(past), now, 200ms) == 0us);
    for (const char* far :
         {"2300-01-01T00:00:00Z", "2500-01-01T00:00:00Z", "2999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z"})
        CHECK(auth::time_until(at(far), now, 200ms) == 200ms);
}

TEST_CASE("where a policy has windows, time matters once a minute") {
    const auth::DirectorySnapshot with(1, {}, {app("crm", 1)}, {policy("p", {office_rule()})});
    CHECK(auth::time_matters(with, at("2026-11-24T12:00:59Z"), at("2026-11-24T12:01:00Z")));
    CHECK_FALSE(auth::time_matters(with, at("2026-11-24T12:01:00Z"), at("2026-11-24T12:01:59Z")));
    const auth::DirectorySnapshot without(1, {}, {app("crm", 1)}, {policy("p", {Rule{{"alice"}, {}, {}}})});
    CHECK_FALSE(auth::time_matters(without, at("2026-11-24T12:00:59Z"), at("2026-11-25T12:01:00Z")));

    CHECK(auth::next_time_that_matters(with, at("2026-11-24T12:00:59.5Z")) == at("2026-11-24T12:01:00Z"));
    CHECK(auth::next_time_that_matters(with, at("2026-11-24T12:01:00Z")) == at("2026-11-24T12:02:00Z"));
    CHECK_FALSE(auth::next_time_that_matters(without, at("2026-11-24T12:00:59Z")).has_value());
    auto alice = staff("alice");
    alice.valid_until = at("2026-11-24T12:01:30Z");
    const auth::DirectorySnapshot both(1, {alice}, {app("crm", 1)}, {policy("p", {office_rule()})});
    CHECK(auth::next_time_that_matters(both, at("2026-11-24T12:00:59Z")) == at("2026-11-24T12:01:00Z"));
    CHECK(auth::next_time_that_matters(both, at("2026-11-24T12:01:00Z")) == at("2026-11-24T12:01:30Z"));
}

TEST_CASE("conditions, expectations and validity come back from the database as they were") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        auto bob = named("bob");
        bob.valid_from = at("2026-12-01T00:00:00Z");
        must(f.directory->create_account(bob, test_hash, no_record));
        f.create("alice");
        auto rule = office_rule();
        rule.roles = {auth::Role::employee};
        rule.groups = {};
        const Context office{base::IpAddress::parse("10.0.0.9"), at("2026-11-24T12:00:00Z")};
        const auto given = policy("p", {rule}, {{"alice", "crm", office, true}, {"alice", "crm", {}, false}});
        must(f.directory->apply({app("crm", 1), given}, f.recorder.function()));

        const auto again = must(auth::Directory::open(*f.database, f.clock))->snapshot();
        CHECK(again->policy("p")->allow == given.allow);
        CHECK(again->policy("p")->expect == given.expect);
        CHECK(again->account_by_username("bob")->valid_from == bob.valid_from);
        CHECK_FALSE(again->account_by_username("bob")->valid_until);
        CHECK(f.recorder.changes.back().after_json.find(R"("times":["mon-fri 08:00-18:00 UTC"])") != std::string::npos);

        auth::AccountUpdate update;
        update.valid_until = std::optional(at("2026-12-01T00:00:00Z"));
        CHECK(error_of(f.directory->update_account("bob", update, no_record)).message ==
              "valid_until: is not later than valid_from");
        update.valid_from = std::optional<base::UtcTime>();
        CHECK(must(f.directory->update_account("bob", update, no_record)).valid_until == at("2026-12-01T00:00:00Z"));

        f.tamper("UPDATE policy_rule_values SET value = 'daily 8-9 UTC' WHERE field = 'time'");
        CHECK(error_of(auth::Directory::open(*f.database, f.clock)).code == base::Errc::data_loss);
    });
}

TEST_CASE("a change after which an expectation fails is refused, and changes nothing") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        const Rule alice{{"alice"}, {}, {}}, bob{{"bob"}, {}, {}};
        const auto refused = [&](const auth::Resources& resources) {
            const auto before = f.directory->snapshot();
            const auto error = error_of(f.directory->apply(resources, f.recorder.function()));
            CHECK(f.directory->snapshot() == before);
            CHECK(f.recorder.changes.empty());
            return error;
        };
        auto error = refused({app("crm", 1), policy("p", {bob}, {{"alice", "crm", {}, true}})});
        CHECK(error.code == base::Errc::invalid_argument);
        CHECK(error.message ==
              "resources[1].expect[0]: expected that 'alice' may use 'crm', but the decision is: no-allow-rule");
        CHECK(refused({app("crm", 1), policy("p", {alice}, {{"alice", "crm", {}, false}})}).message ==
              "resources[1].expect[0]: expected that 'alice' may not use 'crm', but the decision is: allow-rule "
              "p/allow[0] by account");
        CHECK(refused({app("crm", 1), policy("p", {bob}, {{"bob", "crm", {}, true}})}).message ==
              "resources[1].expect[0]: account 'bob' does not exist");
        CHECK(refused({app("crm", 1), policy("p", {bob}, {{"alice", "cmr", {}, true}})}).message ==
              "resources[1].expect[0]: app 'cmr' does not exist");
        CHECK(refused({app("crm", 1), policy("p", {bob}, {{"Not valid", "crm", {}, true}})})
                  .message.starts_with("resources[1].expect[0].account: "));

        must(f.directory->apply({app("crm", 1), policy("p", {alice}, {{"alice", "crm", {}, true}})}, no_record));
        // Another policy's test stands in the way of a change that would break it.
        auto denies = policy("q", {});
        denies.deny = {alice};
        error = refused({denies});
        CHECK(error.code == base::Errc::failed_precondition);
        CHECK(error.message ==
              "policy 'p', expect[0]: expected that 'alice' may use 'crm', but the decision is: deny-rule q/deny[0] by "
              "account; change this call, or apply that policy with it");
        // What was expected of somebody who has gone stands in nobody's way.
        must(f.directory->delete_account("alice", no_record));
        must(f.directory->apply({denies}, no_record));
    });
}
