#include "auth/policy_replay.hpp"

#include "auth/policy_support.hpp"

using namespace usher;
using namespace usher::test;
using auth::PolicyReplay;
using auth::Rule;
using Outcome = auth::PolicyReplay::Outcome;
using namespace std::chrono_literals;

namespace {

auth::Policy policy_of(std::string app, std::vector<Rule> allow) {
    auth::Policy out;
    out.name = app;
    out.apps = {std::move(app)};
    out.allow = std::move(allow);
    return out;
}

auth::Account alice() {
    auto account = named("alice");
    account.id = "id-alice";
    account.groups = {"staff"};
    account.department = "Finance";
    account.updated_at = test_start;
    return account;
}

auth::RecordedAttempt attempt(std::string app = "crm") {
    auth::RecordedAttempt out;
    out.account_id = "id-alice";
    out.department = "Finance";
    out.destination = {app + ".example", std::nullopt, 443};
    out.context.time = test_start + 1h;
    out.session_known = true;
    return out;
}

}  // namespace

TEST_CASE("an attempt of the past is judged by the conditions on its record") {
    Rule in_window{{}, {"staff"}, {}};
    in_window.times = {auth::TimeWindow::parse("daily 11:00-12:00 UTC").value()};
    Rule on_device{{}, {"staff"}, {}};
    on_device.devices = {auth::DeviceState::active};
    const auth::DirectorySnapshot directory(7, {alice()}, {app("crm"), app("bank"), app("wiki")},
                                            {policy_of("crm", {in_window}), policy_of("bank", {on_device}),
                                             policy_of("wiki", {Rule{{}, {}, {"Finance"}}})});
    const PolicyReplay replay(directory);

    auto judged = replay.judge(attempt());
    CHECK(judged.outcome == Outcome::judged);
    CHECK(judged.decision.text() == "allow-rule crm/allow[0] by group and time");
    CHECK(judged.decision.policy_version == 7);
    CHECK_FALSE(judged.account_changed);
    auto late = attempt();
    late.context.time = test_start + 2h;
    CHECK(replay.judge(late).decision.text() == "no-allow-rule");

    auto with_device = attempt("bank");
    CHECK(replay.judge(with_device).decision.text() == "device-needed bank/allow[0]");
    with_device.context.device = auth::DeviceState::active;
    CHECK(replay.judge(with_device).decision.allowed);
    // What an old record does not say is not taken for "none", where it matters.
    with_device.session_known = false;
    CHECK(replay.judge(with_device).outcome == Outcome::session_not_on_record);
    auto old = attempt();
    old.session_known = false;
    CHECK(replay.judge(old).outcome == Outcome::judged);

    CHECK(replay.judge(attempt("wiki")).decision.allowed);
    auto moved = attempt("wiki");
    moved.department = "Sales";
    CHECK_FALSE(replay.judge(moved).decision.allowed);

    const auto nowhere = replay.judge(attempt("nowhere"));
    CHECK(nowhere.outcome == Outcome::judged);
    CHECK(nowhere.app == nullptr);
    CHECK_FALSE(nowhere.decision.allowed);
    auto before = attempt();
    before.context.time = test_start - 23h + 30min;
    CHECK(replay.judge(before).decision.allowed);
    CHECK(replay.judge(before).account_changed);
    auto gone = attempt();
    gone.account_id = "id-bob";
    CHECK(replay.judge(gone).outcome == Outcome::account_gone);
}

TEST_CASE("whether an account stands is not a matter of policy") {
    auto account = alice();
    account.status = auth::AccountStatus::disabled;
    const auth::DirectorySnapshot disabled(1, {account}, {app("crm")}, {policy_of("crm", {Rule{{"alice"}, {}, {}}})});
    CHECK(PolicyReplay(disabled).judge(attempt()).decision.allowed);
    account = alice();
    account.valid_until = test_start;
    const auth::DirectorySnapshot expired(1, {account}, {app("crm")}, {policy_of("crm", {Rule{{"alice"}, {}, {}}})});
    CHECK(PolicyReplay(expired).judge(attempt()).decision.allowed);
}
