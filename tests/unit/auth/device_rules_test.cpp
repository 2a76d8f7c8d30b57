#include "auth/policy.hpp"
#include "auth/policy_support.hpp"

using namespace usher;
using namespace usher::test;
using auth::Context;
using auth::DeviceState;
using auth::Rule;
using auth::RuleField;
using base::Errc;
using namespace std::chrono_literals;

namespace {

Rule staff_on(std::vector<DeviceState> devices) {
    Rule rule{{}, {"staff"}, {}};
    rule.devices = std::move(devices);
    return rule;
}

Context on(DeviceState state) {
    Context context;
    context.device = state;
    return context;
}

std::string decision(std::vector<auth::Policy> policies, const auth::Account& account, const Context& context) {
    const auth::DirectorySnapshot directory(1, {account}, {crm()}, std::move(policies));
    return auth::decide(directory, account, *directory.app("crm"), context).text();
}

}  // namespace

TEST_CASE("a rule may ask for an enrolled device in a state of its list") {
    const auto rule = staff_on({DeviceState::active});
    CHECK(rule.matches(staff(), on(DeviceState::active)));
    CHECK(rule.first_unmet(staff(), {}) == RuleField::device);
    for (const auto state : {DeviceState::pending, DeviceState::locked, DeviceState::lost, DeviceState::unbound})
        CHECK(rule.first_unmet(staff(), on(state)) == RuleField::device);
    CHECK(rule.first_unmet(named("bob"), {}) == RuleField::group);
    const auto either = staff_on({DeviceState::active, DeviceState::pending});
    CHECK(either.matches(staff(), on(DeviceState::pending)));
    CHECK_FALSE(either.matches(staff(), {}));
    // A list as any other: it may stand alone.
    Rule alone;
    alone.devices = {DeviceState::active};
    CHECK(alone.matches(named("bob"), on(DeviceState::active)));
    CHECK_FALSE(alone.matches(named("bob"), {}));
}

TEST_CASE("that a device is needed is said only where nothing else but a second factor is missing") {
    const auto asks = policy("p", {staff_on({DeviceState::active})});
    CHECK(decision({asks}, staff(), on(DeviceState::active)) == "allow-rule p/allow[0] by group and device");
    CHECK(decision({asks}, staff(), {}) == "device-needed p/allow[0]");
    CHECK(decision({asks}, staff(), on(DeviceState::pending)) == "device-needed p/allow[0]");
    CHECK(decision({asks}, named("bob"), {}) == "no-allow-rule");
    CHECK(decision({policy("p", asks.allow, {Rule{{"alice"}, {}, {}}})}, staff(), {}) ==
          "deny-rule p/deny[0] by account");
    CHECK(decision({asks, policy("q", {Rule{{"alice"}, {}, {}}})}, staff(), {}) == "allow-rule q/allow[0] by account");
    // Nobody is to enrol a device for a rule that it would not help with.
    CHECK(decision({policy("p", {staff_on({DeviceState::pending})})}, staff(), {}) == "no-allow-rule");
    const auto denied = policy("p", {Rule{{"alice"}, {}, {}}}, {staff_on({DeviceState::pending})});
    CHECK(decision({denied}, staff(), on(DeviceState::pending)) == "deny-rule p/deny[0] by group and device");
    CHECK(decision({denied}, staff(), on(DeviceState::active)) == "allow-rule p/allow[0] by account");

    auto both = staff_on({DeviceState::active});
    both.mfa_within = 1h;
    CHECK(decision({policy("p", {both})}, staff(), {}) == "device-needed p/allow[0]");
    CHECK(decision({policy("p", {both})}, staff(), on(DeviceState::active)) == "second-factor-needed p/allow[0]");
    auto known = on(DeviceState::active);
    known.second_factor_age = 1min;
    CHECK(decision({policy("p", {both})}, staff(), known) ==
          "allow-rule p/allow[0] by group, device and second-factor");
}

TEST_CASE("rules and expectations about devices are kept, and take the states that are let in only") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        must(f.directory->create_account(staff(), test_hash, no_record));
        auto asks = policy("p", {staff_on({DeviceState::active, DeviceState::pending})});
        asks.expect = {{"alice", "crm", on(DeviceState::pending), true}, {"alice", "crm", {}, false}};
        must(f.directory->apply({crm(), asks}, f.recorder.function()));
        CHECK(f.recorder.changes[1].after_json.find(R"("devices":["active","pending"])") != std::string::npos);
        CHECK(f.recorder.changes[1].after_json.find(R"("device":"pending","allow":true)") != std::string::npos);

        const auto other = test.open();
        const auto again = must(auth::Directory::open(*other, f.clock));
        CHECK(again->snapshot()->policy("p")->allow == asks.allow);
        CHECK(again->snapshot()->policy("p")->expect == asks.expect);

        const auto error = [&](auth::Policy wrong) {
            return error_of(f.directory->apply({std::move(wrong)}, no_record)).message;
        };
        CHECK(error(policy("p", {staff_on({DeviceState::active, DeviceState::locked})})) ==
              "resources[0].allow[0].devices[1]: is neither active nor pending; others are never let in");
        auto wrong = asks;
        wrong.expect = {{"alice", "crm", on(DeviceState::lost), false}};
        CHECK(error(wrong) == "resources[0].expect[0].device: is neither active nor pending");
        wrong.expect = {{"alice", "crm", {}, true}};
        CHECK(error(wrong).find("device-needed p/allow[0]") != std::string::npos);
        f.tamper("UPDATE policy_rule_values SET value = 'stolen' WHERE field = 'device' AND position = 0");
        CHECK(error_of(auth::Directory::open(*other, f.clock)).code == Errc::data_loss);
    });
}

TEST_CASE("what policies asked for before devices goes on through the migration") {
    for_each_backend([](TestDatabase& test) {
        const auto database = test.open();
        const auto all = auth::Directory::migrations();
        const auto tenth = std::find_if(all.begin(), all.end(), [](const auto& m) { return m.version == 10; });
        must(database->migrate(all.subspan(0, static_cast<std::size_t>(tenth - all.begin()))));
        must(database->transaction([](base::sql::Transaction& t) -> base::Result<void> {
            t.execute("INSERT INTO apps (name, updated_at) VALUES ('crm', 1)");
            t.execute("INSERT INTO app_destinations (app, position, destination) VALUES ('crm', 0, '10.0.0.1:1')");
            t.execute("INSERT INTO policies (name, updated_at) VALUES ('p', 1)");
            t.execute("INSERT INTO policy_apps (policy, position, app) VALUES ('p', 0, 'crm')");
            t.execute("INSERT INTO policy_rule_values VALUES ('p', 'allow', 0, 'group', 0, 'staff')");
            t.execute("INSERT INTO policy_rule_values VALUES ('p', 'allow', 0, 'mfa_within', 0, '12h')");
            t.execute(
                "INSERT INTO policy_expectations (policy, position, account, app, allow) VALUES ('p', 0, 'alice', "
                "'crm', 0)");
            return {};
        }));
        must(database->migrate(all));
        base::ManualClock clock{test_start};
        const auto directory = must(auth::Directory::open(*database, clock));
        const auto& kept = *directory->snapshot()->policy("p");
        CHECK(kept.allow.at(0).groups == std::vector<std::string>{"staff"});
        CHECK(kept.allow.at(0).mfa_within == base::Microseconds{12h});
        CHECK(kept.expect.at(0) == auth::Expectation{"alice", "crm", {}, false});
    });
}
