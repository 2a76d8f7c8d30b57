#include "auth/decided_by.hpp"

#include "auth/support.hpp"

using namespace usher;
using namespace usher::test;
using namespace std::chrono_literals;
using auth::DeviceState;
using auth::Rule;
using Texts = std::vector<std::string>;

namespace {

auth::Account alice() {
    auto account = named("alice");
    account.groups = {"audit", "finance", "staff"};
    account.department = "Tax";
    account.role = auth::Role::auditor;
    return account;
}

auth::Context everything() {
    auth::Context out;
    out.client_address = base::IpAddress::parse("10.1.2.3");
    out.time = base::parse_rfc3339("2026-11-24T10:00:00Z");
    out.second_factor_age = 1h;
    out.device = DeviceState::active;
    out.posture =
        std::make_shared<const auth::Posture>(auth::posture_of(Texts{"disk_encrypted", "os_version = 12"}).value());
    return out;
}

Texts conditions(std::vector<Rule> allow, std::vector<Rule> deny, const auth::Context& context) {
    auth::App app;
    app.name = "crm";
    app.destinations = {auth::DestinationPattern::parse("10.0.0.1:1").value()};
    auth::Policy policy;
    policy.name = "p";
    policy.apps = {"crm"};
    policy.allow = std::move(allow);
    policy.deny = std::move(deny);
    const auth::DirectorySnapshot directory(1, {alice()}, {app}, {policy},
                                            {{"EU", "", ""}, {"Finance", "", "EU"}, {"Tax", "", "Finance"}});
    const auto& account = directory.accounts()[0];
    const auto decision = auth::decide(directory, account, *directory.app("crm"), context);
    return auth::decided_by(decision, directory, account, context);
}

std::vector<auth::PostureTest> tests(const Texts& texts) {
    std::vector<auth::PostureTest> out;
    for (const auto& text : texts) out.push_back(auth::PostureTest::parse(text).value());
    return out;
}

}  // namespace

TEST_CASE("of a rule that decided it is said what met each of its conditions") {
    Rule rule{{"alice", "bob"}, {"hr", "staff", "finance"}, {"Sales", "EU"}};
    rule.roles = {auth::Role::employee, auth::Role::auditor};
    rule.networks = {base::Cidr::parse("192.0.2.0/24").value(), base::Cidr::parse("10.0.0.0/8").value()};
    rule.times = {auth::TimeWindow::parse("sat 08:00-18:00 UTC").value(),
                  auth::TimeWindow::parse("mon-fri 08:00-18:00 UTC").value()};
    rule.devices = {DeviceState::pending, DeviceState::active};
    rule.posture = tests({"disk_encrypted", "os_version >= 12", "device_uid != abc", "device_name = alices-laptop"});
    auto known = everything();
    auto said = *known.posture;
    said.device_uid = "def";
    said.device_name = "alices-laptop";
    known.posture = std::make_shared<const auth::Posture>(said);
    const Texts met{"group finance",
                    "department EU",
                    "account-role auditor",
                    "network 10.0.0.0/8",
                    "time mon-fri 08:00-18:00 UTC",
                    "device active",
                    "posture disk_encrypted and os_version >= 12 and device_uid and device_name"};
    CHECK(conditions({}, {rule}, known) == met);
    rule.mfa_within = 12h;
    auto with_factor = met;
    with_factor.emplace_back("second-factor within 12h");
    CHECK(conditions({rule}, {}, known) == with_factor);
    CHECK(conditions({Rule{{}, {}, {"Sales", "Tax"}}}, {}, known) == Texts{"department Tax"});
    CHECK(conditions({Rule{{"alice"}, {}, {}}}, {}, known).empty());
    Rule from_one_address{{"alice"}, {}, {}};
    from_one_address.networks = {base::Cidr::parse("10.1.2.3/32").value()};
    CHECK(conditions({from_one_address}, {}, known) == Texts{"network"});
}

TEST_CASE("a condition that is long is cut between two characters") {
    Rule rule{{}, {"staff"}, {}};
    const std::string long_text = [] {
        std::string out;
        for (int i = 0; i < 60; ++i) out += "\xe4\xb8\xad";
        return out;
    }();
    rule.posture = tests({"os != " + long_text, "network_type != " + long_text});
    auto known = everything();
    auto said = *known.posture;
    said.os = said.network_type = "x";
    known.posture = std::make_shared<const auth::Posture>(said);
    const auto found = conditions({rule}, {}, known);
    REQUIRE(found.size() == 2);
    CHECK(found[1].size() <= auth::condition_bytes_max);
    CHECK(found[1].ends_with("\xe4\xb8\xad..."));
}

TEST_CASE("of a rule that asks for more it is said what it asks for, and where no rule decided nothing") {
    Rule rule{{}, {"staff"}, {}};
    rule.posture = tests({"disk_encrypted", "os_version >= 13", "firewall"});
    CHECK(conditions({rule}, {}, everything()) == Texts{"posture os_version >= 13"});
    CHECK(conditions({rule}, {}, {}) == Texts{"posture disk_encrypted"});
    rule.posture.clear();
    rule.mfa_within = 30min;
    CHECK(conditions({rule}, {}, everything()) == Texts{"second-factor within 30m"});
    rule.devices = {DeviceState::active};
    CHECK(conditions({rule}, {}, {}) == Texts{"device active"});
    CHECK(conditions({Rule{{}, {"others"}, {}}}, {}, everything()).empty());
    CHECK(conditions({}, {}, everything()).empty());
}
