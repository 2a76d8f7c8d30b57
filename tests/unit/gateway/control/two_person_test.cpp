#include "gateway/control/two_person.hpp"

#include "gateway_fixture.hpp"
#include "tests/unit/base/sql/test_database.hpp"

using namespace usher;
using base::Errc;
using gateway::control::Caller;
using gateway::control::TwoPerson;
using test::contains;
using test::TestGateway;
using Outcome = usher::v1::AdminRecord::Outcome;

namespace {

constexpr base::Microseconds day{24LL * 3600 * 1'000'000};

struct Two {
    Two() {
        alice = caller(gateway.account("alice", auth::Role::administrator));
        bob = caller(gateway.account("bob", auth::Role::administrator));
        gateway.control_clock.advance(day + base::Microseconds{1'000'000});
    }
    static Caller caller(const auth::Account& account) {
        Caller out;
        out.actor = account.username;
        out.account_id = account.id;
        out.role = account.role;
        return out;
    }
    static base::Result<void> no_record(const auth::Change&) { return {}; }
    std::vector<Outcome::Value> outcomes() const {
        std::vector<Outcome::Value> out;
        for (const auto& act : gateway.acts()) out.push_back(act.outcome());
        return out;
    }
    std::size_t waiting() { return TestGateway::must(two_person.list()).size(); }

    TestGateway gateway;
    audit::PendingOrders orders{*gateway.database};
    TwoPerson two_person{orders, *gateway.journal, *gateway.directory, gateway.control_clock};
    Caller alice, bob;
    const Caller local{"local", {}, nullptr, auth::Role::administrator, {}};
    const TwoPerson::Order order{"hold.delete", "holds/case-17", R"({"account":"carol"})", {}};
};

}  // namespace

TEST_CASE("an order waits until another administrator gives the same, and stands once") {
    Two it;
    const auto asked = it.two_person.approve(it.alice, it.order);
    REQUIRE_FALSE(asked.ok());
    CHECK(asked.error().code == Errc::failed_precondition);
    CHECK(contains(asked.error().message, "takes two administrators. It waits as order "));
    const auto waiting = TestGateway::must(it.two_person.list());
    REQUIRE(waiting.size() == 1);
    CHECK(contains(asked.error().message, waiting[0].id));
    CHECK(waiting[0].asked_by == "alice");
    CHECK(waiting[0].resource == "holds/case-17");

    CHECK(contains(it.two_person.approve(it.alice, it.order).error().message, "asked for this yourself"));
    CHECK(it.two_person.approve(it.bob, it.order).ok());
    CHECK(it.waiting() == 0);
    CHECK(it.outcomes() == std::vector<Outcome::Value>{Outcome::ASKED, Outcome::APPROVED});
    const auto acts = it.gateway.acts();
    CHECK(acts[1].actor() == "bob");
    CHECK(acts[1].action() == "hold.delete");
    CHECK(contains(acts[1].detail(), ", asked for by alice"));
    for (const auto& act : acts) CHECK(act.before_json() == it.order.before_json);
    CHECK_FALSE(it.two_person.approve(it.bob, it.order).ok());  // from the beginning
    CHECK(it.two_person.approve(it.local, it.order).ok());
}

TEST_CASE("another order, and one that has expired, is nobody's second") {
    Two it;
    CHECK_FALSE(it.two_person.approve(it.alice, it.order).ok());
    CHECK_FALSE(it.two_person.approve(it.bob, {"hold.delete", "holds/case-17", R"({"account":"dave"})", {}}).ok());
    CHECK_FALSE(it.two_person.approve(it.bob, {"hold.delete", "holds/case-1", "7" + it.order.before_json, {}}).ok());
    CHECK(it.waiting() == 3);
    it.gateway.control_clock.advance(day);
    CHECK(it.waiting() == 0);
    CHECK_FALSE(it.two_person.approve(it.bob, it.order).ok());
    CHECK(it.waiting() == 1);
    CHECK(it.two_person.approve(it.alice, it.order).ok());
}

TEST_CASE("an account that was changed within the day counts for nobody, before and after") {
    Two it;
    const auto change = [&](const std::string& name, const auth::AccountUpdate& update) {
        // By a clock that is a day behind: what counts is what the account says.
        TestGateway::must(it.gateway.directory->update_account(name, update, Two::no_record));
    };
    it.gateway.control_clock.advance(-(day + base::Microseconds{1'000'000}));
    const auto fresh = it.two_person.approve(it.alice, it.order);
    CHECK(contains(fresh.error().message, "your account does not count"));
    CHECK(it.gateway.acts().empty());
    it.gateway.control_clock.advance(day + base::Microseconds{1'000'000});

    CHECK_FALSE(it.two_person.approve(it.alice, it.order).ok());
    it.gateway.control_clock.advance(-base::Microseconds{2'000'000});
    change("bob", {.display_name = "Bob"});
    CHECK(contains(it.two_person.approve(it.bob, it.order).error().message, "your account does not count"));
    // Who asked has lost the role since: the next one begins.
    change("alice", {.role = auth::Role::auditor});
    CHECK(contains(it.two_person.approve(it.local, it.order).error().message, "It waits as order"));
    CHECK(TestGateway::must(it.two_person.list())[0].asked_by == "local");
}

TEST_CASE("an order is taken back on record, and there are at most a hundred") {
    Two it;
    CHECK(it.two_person.withdraw(it.bob, "0123").error().code == Errc::not_found);
    CHECK_FALSE(it.two_person.approve(it.alice, it.order).ok());
    REQUIRE(it.two_person.withdraw(it.bob, TestGateway::must(it.two_person.list())[0].id).ok());
    CHECK(it.waiting() == 0);
    CHECK(it.gateway.acts().back().action() == "pending_order.delete");
    for (std::size_t i = 0; i < audit::PendingOrders::orders_max; ++i)
        CHECK(contains(it.two_person.approve(it.alice, {"a", std::to_string(i), {}, {}}).error().message, "waits as"));
    CHECK(it.two_person.approve(it.alice, {"a", "b", {}, {}}).error().code == Errc::resource_exhausted);
    CHECK(it.gateway.acts().back().outcome() == Outcome::FAILED);
    CHECK(it.two_person.approve(it.bob, {"a", "0", {}, {}}).ok());
}

TEST_CASE("an order that somebody took is not taken twice, on both databases") {
    test::for_each_backend([](test::TestDatabase& test) {
        auto database = test.open();
        REQUIRE(database->migrate(audit::store_migrations()).ok());
        audit::PendingOrders orders(*database);
        const auto at = base::from_micros(1'700'000'000'000'000);
        const audit::PendingOrder order{"id", "a", "b", "{}", "", "alice", "1", at, at + day};
        REQUIRE(orders.ask(order).ok());
        auto again = order;
        again.asked_at = at + base::Microseconds{1};
        REQUIRE(orders.ask(again).ok());
        CHECK(TestGateway::must(orders.list(at)) == std::vector{again});
        CHECK_FALSE(TestGateway::must(orders.take(order)));
        CHECK(TestGateway::must(orders.take(again)));
        CHECK_FALSE(TestGateway::must(orders.take(again)));
    });
}
