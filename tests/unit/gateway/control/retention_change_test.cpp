#include "gateway/control/retention_change.hpp"

#include "gateway_fixture.hpp"

using namespace usher;
using base::Errc;
using gateway::control::AdminRecorder;
using gateway::control::Caller;
using gateway::control::change_retention;
using gateway::control::ChangeRetention;
using gateway::control::TwoPerson;
using test::contains;
using test::TestGateway;

namespace {

audit::Hold hold(std::string account) {
    audit::Hold out;
    out.name = "case-17";
    out.account = std::move(account);
    return out;
}

struct Fixture {
    ChangeRetention apply(std::vector<audit::RetentionResource> resources) {
        return [this, resources = std::move(resources)](const audit::RecordRetention& record) -> base::Result<void> {
            auto applied = store().apply(resources, "root", gateway.clock.utc(), record);
            if (!applied) return std::move(applied).error();
            return {};
        };
    }
    base::Result<void> change(const ChangeRetention& change) { return change_as(local, change, change); }
    base::Result<void> change_as(const Caller& caller, const ChangeRetention& part, const ChangeRetention& whole) {
        AdminRecorder recorder(*gateway.journal, caller);
        return change_retention(&two_person, caller, recorder, {&part, 1}, whole);
    }
    audit::RetentionStore& store() { return gateway.retention->store(); }
    std::string held() {
        const auto holds = TestGateway::must(store().holds());
        return holds.empty() ? "" : holds[0].account;
    }

    TestGateway gateway;
    audit::PendingOrders orders{*gateway.database};
    TwoPerson two_person{orders, *gateway.journal, *gateway.directory, gateway.clock};
    const Caller local{"local", {}, nullptr, auth::Role::administrator, {}};
};

}  // namespace

TEST_CASE("what only adds to what is kept takes one, and what changes it two") {
    Fixture it;
    REQUIRE(it.change(it.apply({hold("alice")})).ok());
    REQUIRE(it.change(it.apply({hold("alice")})).ok());  // as it is
    const auto refused = it.change(it.apply({hold("bob")}));
    CHECK(refused.error().code == Errc::failed_precondition);
    CHECK(contains(refused.error().message, "It waits as order"));
    CHECK(it.held() == "alice");
    const auto waiting = TestGateway::must(it.two_person.list());
    REQUIRE(waiting.size() == 1);
    CHECK(waiting[0].action == "hold.apply");
    CHECK(contains(waiting[0].before_json, "alice"));
    CHECK(contains(waiting[0].after_json, "bob"));
}

TEST_CASE("what was made between the look and the deed is nobody's to change") {
    Fixture it;
    // The look finds no hold; somebody makes one; the deed meets it.
    const ChangeRetention looks = [](const audit::RecordRetention&) { return base::Result<void>{}; };
    REQUIRE(it.change(it.apply({hold("alice")})).ok());
    const auto replaced = it.change_as(it.local, looks, it.apply({hold("bob")}));
    CHECK(replaced.error().code == Errc::failed_precondition);
    CHECK(contains(replaced.error().message, "holds/case-17 was made or changed by somebody else meanwhile"));
    const auto deleted = it.change_as(it.local, looks, [&](const audit::RecordRetention& record) {
        return it.store().delete_hold("case-17", record);
    });
    CHECK(deleted.error().code == Errc::failed_precondition);
    CHECK(it.held() == "alice");
    CHECK(TestGateway::must(it.two_person.list()).empty());
}

TEST_CASE("a class that is as it was built takes nobody to be put back") {
    Fixture it;
    const ChangeRetention reset = [&](const audit::RecordRetention& record) {
        return it.store().reset_class(audit::RetentionClass::access, record);
    };
    CHECK(it.change(reset).ok());
    const ChangeRetention none = [&](const audit::RecordRetention& record) {
        return it.store().delete_hold("case-17", record);
    };
    CHECK(it.change(none).error().code == Errc::not_found);
    CHECK(it.gateway.acts().empty());
}
