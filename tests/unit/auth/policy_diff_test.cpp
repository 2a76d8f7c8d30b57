#include "auth/policy_diff.hpp"

#include "auth/directory_draft.hpp"
#include "auth/policy.hpp"
#include "auth/policy_support.hpp"

using namespace usher;
using namespace usher::test;
using auth::PolicyDiff;
using auth::Rule;
using base::Errc;
using namespace std::chrono_literals;

namespace {

Rule staff_rule() { return Rule{{}, {"staff"}, {}}; }
Rule staff_from(const char* network) {
    Rule rule = staff_rule();
    rule.networks = {base::Cidr::parse(network).value()};
    return rule;
}

std::vector<auth::Account> people() {
    std::vector<auth::Account> out{named("alice"), named("bob"), named("carol"), named("dora")};
    for (auto& account : out) account.id = "id-" + account.username;
    out[0].groups = out[1].groups = {"staff"};
    out[3].groups = {"staff"};
    out[3].status = auth::AccountStatus::disabled;
    return out;
}

std::string word(auth::Reach reach) {
    return reach == auth::Reach::never ? "never" : reach == auth::Reach::always ? "always" : "sometimes";
}

/// "alice crm never always", one a line.
std::string changes(const std::vector<auth::Policy>& before, const std::vector<auth::Policy>& after,
                    std::size_t limit = 100, std::uint64_t work = 1000) {
    const auth::DirectorySnapshot was(1, people(), {app("crm"), app("wiki")}, before);
    const auth::DirectorySnapshot will(1, people(), {app("crm"), app("wiki")}, after);
    const PolicyDiff diff(was, will, test_start);
    std::string out;
    PolicyDiff::Place place;
    for (int parts = 0;; ++parts) {
        REQUIRE(parts < 100);
        const auto part = diff.next(place, limit, work);
        CHECK(part.changes.size() <= limit);
        for (const auto& change : part.changes)
            out += change.account->username + " " + change.app->name + " " + word(change.before) + " " +
                   word(change.after) + "\n";
        if (!part.more) return out;
        place = part.next;
    }
}

}  // namespace

TEST_CASE("who gains and who loses an app when policies change") {
    CHECK(changes({policy("p", {staff_rule()})}, {policy("p", {staff_rule()})}).empty());
    CHECK(changes({}, {policy("p", {staff_rule()})}) == "alice crm never always\nbob crm never always\n");
    CHECK(changes({policy("p", {staff_rule()})}, {policy("p", {staff_rule()}, {Rule{{"bob"}, {}, {}}})}) ==
          "bob crm always never\n");
    CHECK(changes({policy("p", {staff_rule()})}, {policy("p", {Rule{{"carol"}, {}, {}}})}) ==
          "alice crm always never\nbob crm always never\ncarol crm never always\n");
    // Another policy opens the app all the same.
    CHECK(changes({policy("p", {staff_rule()}), policy("q", {staff_rule()})},
                  {policy("p", {Rule{{"carol"}, {}, {}}}), policy("q", {staff_rule()})}) == "carol crm never always\n");
    // The other way round about which rule does it is no difference.
    CHECK(changes({policy("p", {staff_rule()})}, {policy("p", {Rule{{"alice", "bob"}, {}, {}}})}).empty());
    auto wiki = policy("p", {staff_rule()});
    wiki.apps = {"wiki"};
    CHECK(changes({policy("p", {staff_rule()})}, {wiki}) ==
          "alice crm always never\nbob crm always never\nalice wiki never always\nbob wiki never always\n");
}

TEST_CASE("conditions make the difference between always, sometimes and never") {
    const auto office = staff_from("10.0.0.0/8"), home = staff_from("192.0.2.0/24");
    CHECK(changes({policy("p", {staff_rule()})}, {policy("p", {office})}) ==
          "alice crm always sometimes\nbob crm always sometimes\n");
    CHECK(changes({policy("p", {office})}, {policy("p", {home})}) ==
          "alice crm sometimes sometimes\nbob crm sometimes sometimes\n");
    CHECK(changes({policy("p", {office, home})}, {policy("p", {home, office})}).empty());
    CHECK(changes({policy("p", {office, staff_rule()})}, {policy("p", {staff_rule()})}).empty());
    CHECK(changes({policy("p", {staff_rule()})}, {policy("p", {staff_rule()}, {home})}) ==
          "alice crm always sometimes\nbob crm always sometimes\n");
    for (int field = 0; field < 3; ++field) {
        Rule asks = staff_rule();
        if (field == 0) asks.times = {auth::TimeWindow::parse("mon-fri 08:00-18:00 UTC").value()};
        if (field == 1) asks.devices = {auth::DeviceState::active};
        if (field == 2) asks.mfa_within = 12h;
        CHECK(changes({policy("p", {asks})}, {policy("p", {asks})}).empty());
        CHECK(changes({policy("p", {asks})}, {policy("p", {staff_rule()})}) ==
              "alice crm sometimes always\nbob crm sometimes always\n");
        CHECK(changes({policy("p", {asks})}, {policy("p", {office})}) ==
              "alice crm sometimes sometimes\nbob crm sometimes sometimes\n");
    }
}

TEST_CASE("a diff comes in parts, each within its bounds, and together they are the whole") {
    const std::vector<auth::Policy> before{policy("p", {staff_rule()})};
    auto wiki = policy("q", {Rule{{"carol", "alice"}, {}, {}}});
    wiki.apps = {"wiki"};
    const std::vector<auth::Policy> after{policy("p", {Rule{{"carol"}, {}, {}}}), wiki};
    const auto whole = changes(before, after);
    CHECK(std::count(whole.begin(), whole.end(), '\n') == 5);
    for (const std::size_t limit : {1u, 2u, 3u, 5u}) CHECK(changes(before, after, limit) == whole);
    // So little work that most parts are empty.
    CHECK(changes(before, after, 100, 1) == whole);
}

TEST_CASE("a preview is the directory as apply would leave it, is refused in the same words, and changes nothing") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        must(f.directory->apply({app("crm"), policy("p", {Rule{{"alice"}, {}, {}}})}, no_record));
        const auto before = f.directory->snapshot();
        auto wiki = policy("q", {Rule{{"alice"}, {}, {}}});
        wiki.apps = {"wiki"};
        const auto preview = [&](const auth::Resources& resources) {
            return auth::preview(*before, resources, f.clock.utc());
        };
        const auto after = must(preview({wiki, app("wiki")}));
        CHECK(after->policy("q") != nullptr);
        CHECK(after->version() == before->version());
        CHECK(f.directory->snapshot() == before);
        const auto part = PolicyDiff(*before, *after, f.clock.utc()).next({}, 10, 1000);
        CHECK(part.changes.size() == 1);

        auto expects = policy("p", {Rule{{"bob"}, {}, {}}});
        expects.expect = {{"alice", "crm", {}, true}};
        for (const auth::Resources& wrong :
             {auth::Resources{wiki}, auth::Resources{expects}, auth::Resources{app("crm"), app("crm")}}) {
            const auto asked = error_of(preview(wrong)), applied = error_of(f.directory->apply(wrong, no_record));
            CHECK(asked.code == applied.code);
            CHECK(asked.message == applied.message);
        }
        CHECK(f.directory->snapshot() == before);
    });
}
