#include "auth/directory.hpp"

#include "auth/change_json.hpp"
#include "auth/support.hpp"

using namespace usher;
using namespace usher::test;
using auth::AccountStatus;
using auth::App;
using auth::ApplyOutcome;
using auth::Policy;
using auth::Resources;
using auth::Rule;
using base::Errc;

namespace {

App app(std::string name, std::vector<std::string> destinations, std::vector<std::string> allowed = {}) {
    App out;
    out.name = std::move(name);
    for (const auto& text : destinations) out.destinations.push_back(auth::DestinationPattern::parse(text).value());
    for (const auto& text : allowed) out.allow_addresses.push_back(base::Cidr::parse(text).value());
    return out;
}

Policy policy(std::string name, std::vector<std::string> apps, std::vector<Rule> allow, std::vector<Rule> deny = {}) {
    Policy out;
    out.name = std::move(name);
    out.apps = std::move(apps);
    out.allow = std::move(allow);
    out.deny = std::move(deny);
    return out;
}

const Rule finance{{}, {}, {"Finance"}};

}  // namespace

TEST_CASE("accounts, apps and policies survive a restart as they were") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        auto given = named("Alice");
        given.display_name = "Alice \"A\" Ä";
        given.department = "Finance";
        given.groups = {"staff", "sales", "staff"};
        given.office_mail = "alice@corp.example";
        given.office_phone = "+49 1";
        given.role = auth::Role::auditor;
        const auto alice = must(f.directory->create_account(given, test_hash, no_record));
        CHECK(alice.username == "alice");
        CHECK(alice.groups == std::vector<std::string>{"sales", "staff"});
        CHECK(alice.created_at == test_start);
        CHECK(base::Uuid::parse(alice.id));
        f.create("bob");
        must(f.directory->set_status("bob", AccountStatus::disabled, no_record));
        // The policy stands before the app that it names.
        const auto outcomes = must(f.directory->apply(
            {policy("finance-uses-crm", {"crm", "wiki"}, {finance, Rule{{"Carol", "alice"}, {"x", "y"}, {}}},
                    {Rule{{"mallory"}, {}, {}}}),
             app("crm", {"10.20.0.0/16:5432", "crm.corp.example:443", "*.crm.corp.example:1-80"},
                 {"127.0.0.0/8", "::/0"}),
             app("wiki", {"[2001:db8::]:1-2"})},
            no_record));
        CHECK(outcomes == std::vector<ApplyOutcome>(3, ApplyOutcome::created));

        const auto before = f.directory->snapshot();
        const auto again = must(auth::Directory::open(*f.database, f.clock));
        const auto after = again->snapshot();
        CHECK(after->version() == before->version());
        CHECK(after->version() == 4);
        CHECK(after->accounts() == before->accounts());
        CHECK(after->apps() == before->apps());
        CHECK(after->policies() == before->policies());
        REQUIRE(after->account_by_username("alice") != nullptr);
        CHECK(*after->account_by_username("alice") == alice);
        CHECK(after->account_by_id(alice.id) == after->account_by_username("alice"));
        CHECK(after->account_by_username("bob")->status == AccountStatus::disabled);
        CHECK(after->policy("finance-uses-crm")->allow[1].accounts == std::vector<std::string>{"carol", "alice"});
        CHECK(after->policies_of("wiki").size() == 1);
        CHECK(after->policies_of("nothing").empty());
        CHECK(must(again->credentials(alice.id)).password_hash == test_hash);
        CHECK(error_of(again->credentials("x")).code == Errc::not_found);
    });
}

TEST_CASE("a username is taken once, in whatever spelling") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        CHECK(error_of(f.directory->create_account(named("ALICE"), test_hash, no_record)).code == Errc::already_exists);
        CHECK(error_of(f.directory->create_account(named("al ice"), test_hash, no_record))
                  .message.rfind("username: ", 0) == 0);
        CHECK(must(f.directory->set_status("ALICE", AccountStatus::disabled, no_record)).username == "alice");
        const auto missing = error_of(f.directory->set_status("alicia", AccountStatus::disabled, no_record));
        CHECK(missing.code == Errc::not_found);
        CHECK(missing.message == "account 'alicia' does not exist; did you mean 'alice'?");
    });
}

TEST_CASE("an account's texts are checked, and the error names the field") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        const auto refused = [&](auth::AccountUpdate update) {
            const auto version = f.directory->snapshot()->version();
            const auto error = error_of(f.directory->update_account("alice", update, f.recorder.function()));
            CHECK(error.code == Errc::invalid_argument);
            CHECK(f.directory->snapshot()->version() == version);
            return error.message.substr(0, error.message.find(':'));
        };
        CHECK(refused({.display_name = std::string(201, 'x')}) == "display_name");
        CHECK(refused({.department = "a\x1b[2J"}) == "department");
        CHECK(refused({.office_mail = "a\xc2\x9b"}) == "office_mail");
        CHECK(refused({.office_phone = "\xff"}) == "office_phone");
        CHECK(refused({.display_name = std::string("a\0b", 3)}) == "display_name");
        CHECK(refused({.display_name = "a\xe2\x80\xa8"}) == "display_name");
        CHECK(refused({.groups = std::vector<std::string>{"ok", ""}}) == "groups[1]");
        std::vector<std::string> many;
        for (int i = 0; i < 101; ++i) many.push_back("g" + std::to_string(i));
        CHECK(refused({.groups = many}) == "groups");
        CHECK(f.recorder.changes.empty());

        must(f.directory->update_account(
            "alice", {.display_name = std::string(200, 'x'), .groups = std::vector<std::string>{"b", "a"}}, no_record));
        CHECK(f.directory->snapshot()->account_by_username("alice")->groups == std::vector<std::string>{"a", "b"});
    });
}

TEST_CASE("each change is on record with before and after, and without a hash") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        const auto record = f.recorder.function();
        const auto created = must(f.directory->create_account(named("alice"), test_hash, record));
        f.clock.advance(std::chrono::seconds{1});
        const auto updated = must(f.directory->update_account(
            "alice", {.department = "Fin\"ance", .groups = std::vector<std::string>{"g"}}, record));
        must(f.directory->set_password("alice", {test_hash + "2"}, record));
        must(f.directory->set_status("alice", AccountStatus::disabled, record));
        must(f.directory->set_status("alice", AccountStatus::disabled, record));  // nothing changes
        must(f.directory->set_status("alice", AccountStatus::active, record));
        must(f.directory->apply({app("crm", {"crm.example:443"}), policy("p", {"crm"}, {finance})}, record));
        must(f.directory->apply({policy("p", {"crm"}, {finance}), app("crm", {"crm.example:444"})}, record));
        must(f.directory->delete_policy("p", record));
        must(f.directory->delete_app("crm", record));
        must(f.directory->delete_account("alice", record));

        std::vector<std::string> acts;
        for (const auto& change : f.recorder.changes) {
            acts.push_back(change.action + " " + change.resource);
            CHECK(change.before_json.find("argon2") == std::string::npos);
            CHECK(change.after_json.find("CANARY") == std::string::npos);
            CHECK(change.before_json.empty() ==
                  (change.action.find("create") != std::string::npos ||
                   (change.action.find("apply") != std::string::npos && acts.size() < 8)));
            CHECK(change.after_json.empty() == (change.action.find("delete") != std::string::npos));
        }
        CHECK(acts == std::vector<std::string>{"account.create accounts/alice", "account.update accounts/alice",
                                               "account.set-password accounts/alice", "account.disable accounts/alice",
                                               "account.enable accounts/alice", "app.apply apps/crm",
                                               "policy.apply policies/p", "app.apply apps/crm",
                                               "policy.delete policies/p", "app.delete apps/crm",
                                               "account.delete accounts/alice"});
        CHECK(f.recorder.changes[1].before_json == f.recorder.changes[0].after_json);
        CHECK(f.recorder.changes[1].after_json ==
              R"({"account_id":")" + created.id +
                  R"(","username":"alice","display_name":"","department":"Fin\"ance","groups":["g"],"office_mail":"",)"
                  R"("office_phone":"","role":"employee","status":"active","created_at":"2026-11-23T10:00:00.000000Z",)"
                  R"("updated_at":"2026-11-23T10:00:01.000000Z"})");
        CHECK(f.recorder.changes[7].after_json ==
              R"({"name":"crm","destinations":["crm.example:444"],"allow_addresses":[],)"
              R"("updated_at":"2026-11-23T10:00:01.000000Z"})");
        CHECK(f.recorder.changes[8].before_json ==
              R"({"name":"p","apps":["crm"],"allow":[{"accounts":[],"groups":[],"departments":["Finance"]}],"deny":[],)"
              R"("updated_at":"2026-11-23T10:00:01.000000Z"})");
    });
}

TEST_CASE("an act that cannot be recorded does not happen") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        const auto before = f.directory->snapshot();
        f.recorder.refuses = true;
        const auto record = f.recorder.function();
        CHECK(error_of(f.directory->create_account(named("bob"), test_hash, record)).code == Errc::unavailable);
        CHECK_FALSE(f.directory->set_status("alice", AccountStatus::disabled, record).ok());
        CHECK_FALSE(f.directory->delete_account("alice", record).ok());
        CHECK_FALSE(f.directory->apply({app("crm", {"crm.example:443"})}, record).ok());
        CHECK(f.directory->snapshot() == before);
        CHECK(must(auth::Directory::open(*f.database, f.clock))->snapshot()->accounts() == before->accounts());
    });
}

TEST_CASE("the listener hears of each change, with the snapshot in place") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        std::vector<std::uint64_t> heard;
        auto last = f.directory->snapshot();
        f.directory->set_listener([&](const auth::Snapshot& before, const auth::Snapshot& snapshot) {
            CHECK(f.directory->snapshot() == snapshot);
            CHECK(std::exchange(last, snapshot) == before);
            heard.push_back(snapshot->version());
        });
        const Resources crm{app("crm", {"crm.example:443"})};
        f.create("alice");
        must(f.directory->apply(crm, no_record));
        CHECK(must(f.directory->apply(crm, no_record)) == std::vector{ApplyOutcome::unchanged});
        CHECK(must(f.directory->apply({}, no_record)).empty());
        must(f.directory->set_status("alice", AccountStatus::disabled, no_record));
        CHECK(heard == std::vector<std::uint64_t>{1, 2, 3});
    });
}

TEST_CASE("resources are applied all or none, and the error names the place") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        must(f.directory->apply({app("crm", {"crm.example:443", "10.0.0.0/8:1-100"})}, no_record));
        const auto before = f.directory->snapshot();
        const auto good = app("good", {"good.example:1"});
        const auto refused = [&](Resources resources) {
            const auto error = error_of(f.directory->apply(resources, f.recorder.function()));
            CHECK(f.directory->snapshot() == before);
            CHECK(f.recorder.changes.empty());
            return std::string(error.code == Errc::invalid_argument ? "" : "! ") + error.message;
        };
        const auto begins = [](const std::string& text, const std::string& with) {
            INFO(text);
            CHECK(text.rfind(with, 0) == 0);
        };
        CHECK(refused({good, good}) == "resources[1].name: app 'good' is given twice");
        CHECK(refused({good, app("w", {"w.example:1"}), policy("p", {"crm2"}, {finance})}) ==
              "! resources[2].apps[0]: app 'crm2' does not exist; did you mean 'crm'?");
        CHECK(refused({policy("p", {"crm", "completely-other"}, {finance})}) ==
              "! resources[0].apps[1]: app 'completely-other' does not exist");
        begins(refused({good, policy("p", {"crm"}, {finance, Rule{}})}), "resources[1].allow[1]: is empty");
        begins(refused({policy("p", {"crm"}, {finance}, {Rule{}})}), "resources[0].deny[0]: is empty");
        begins(refused({policy("p", {"crm"}, {Rule{{"a b"}, {}, {}}})}), "resources[0].allow[0].accounts[0]: ");
        begins(refused({policy("p", {"crm"}, {Rule{{}, {""}, {}}})}), "resources[0].allow[0].groups[0]: ");
        begins(refused({policy("p", {"crm"}, {Rule{{}, {}, {"\n"}}})}), "resources[0].allow[0].departments[0]: ");
        begins(refused({policy("p", {}, {finance})}), "resources[0].apps: ");
        begins(refused({policy("p", {"crm", "crm"}, {finance})}), "resources[0].apps[1]: ");
        begins(refused({policy("p", {"crm"}, {})}), "resources[0].allow: ");
        begins(refused({policy("P", {"crm"}, {finance})}), "resources[0].name: ");
        begins(refused({policy("p", {"usher-control"}, {finance})}), "resources[0].apps[0]: ");
        begins(refused({app("usher-control", {"x.example:1"})}), "resources[0].name: ");
        begins(refused({app("", {"x.example:1"})}), "resources[0].name: ");
        begins(refused({app("a b", {"x.example:1"})}), "resources[0].name: ");
        begins(refused({app(std::string(65, 'a'), {"x.example:1"})}), "resources[0].name: ");
        begins(refused({app("x", {})}), "resources[0].destinations: ");
        begins(refused({app("x", {"x.example:1", "x.example:1"})}), "resources[0].destinations[1]: ");
        begins(refused({app("x", {"usher.internal:443"})}), "resources[0].destinations[0]: ");
        begins(refused({app("x", {"a:1", "control.usher.internal:443"})}), "resources[0].destinations[1]: ");
        begins(refused({app("x", {"*.usher.internal:443"})}), "resources[0].destinations[0]: ");
        for (const char* block : {"0.0.0.0", "0.0.0.0/8", "::", "224.0.0.0/4", "239.1.1.1", "ff00::/8", "ff02::1"}) {
            INFO(block);
            begins(refused({app("x", {"x.example:1"}, {"10.0.0.0/8", block})}), "resources[0].allow_addresses[1]: ");
        }
        App forged = app("x", {"x.example:1"});
        forged.destinations[0].first_port = 2;
        begins(refused({forged}), "resources[0].destinations[0]: ");
        forged.destinations[0].name = "x.example:1\n";
        begins(refused({forged}), "resources[0].destinations[0]: ");
        begins(refused(Resources(1001, good)), "resources: ");

        // What was asked for on purpose is taken.
        must(
            f.directory->apply({app("all", {"0.0.0.0/0:1-65535", "[::/0]:1-65535", "*.com:443"}, {"0.0.0.0/0", "::/0"}),
                                policy("later", {"all"}, {Rule{{"nobody-yet"}, {"nor-this"}, {}}})},
                               no_record));
    });
}

TEST_CASE("two apps cannot claim the same destination and port") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        must(f.directory->apply({app("crm", {"crm.example:400-500", "*.crm.example:443", "10.0.0.0/8:1-100"})},
                                no_record));
        for (const char* pattern :
             {"crm.example:443", "crm.example:500-600", "*.crm.example:443", "10.0.0.0/8:100-101"}) {
            INFO(pattern);
            const auto error = error_of(f.directory->apply({app("other", {"o.example:1", pattern})}, no_record));
            CHECK(error.code == Errc::invalid_argument);
            CHECK(error.message.rfind("resources[0].destinations[1]: ", 0) == 0);
            CHECK(error.message.find("'other'") != std::string::npos);
            CHECK(error.message.find("'crm'") != std::string::npos);
        }
        must(f.directory->apply({app("other", {"crm.example:501-600", "a.crm.example:443", "10.0.0.0/9:50"})},
                                no_record));
        // A destination may move from one app to another within one call.
        must(f.directory->apply({app("new", {"crm.example:400-500"}), app("crm", {"*.crm.example:443"})}, no_record));
        const auto error =
            error_of(f.directory->apply({app("a1", {"z.example:1"}), app("a2", {"z.example:1"})}, no_record));
        CHECK(error.code == Errc::invalid_argument);
    });
}

TEST_CASE("an app stays while a policy names it") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        must(f.directory->apply({app("crm", {"crm.example:443"}), policy("p", {"crm"}, {finance})}, no_record));
        CHECK(error_of(f.directory->delete_app("crm", no_record)).code == Errc::failed_precondition);
        CHECK(error_of(f.directory->delete_app("crn", no_record)).message ==
              "app 'crn' does not exist; did you mean 'crm'?");
        CHECK(error_of(f.directory->delete_policy("q", no_record)).code == Errc::not_found);
        // The app can be changed under the policy.
        must(f.directory->apply({app("crm", {"crm.example:444"})}, no_record));
        must(f.directory->delete_policy("p", no_record));
        must(f.directory->delete_app("crm", no_record));
        CHECK(f.directory->snapshot()->apps().empty());
    });
}

TEST_CASE("what another gateway changed is seen by refresh and by the next change") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        auto other_database = test.open();
        const auto other = must(auth::Directory::open(*other_database, f.clock));
        int heard = 0;
        other->set_listener([&](const auth::Snapshot&, const auth::Snapshot&) { ++heard; });
        CHECK_FALSE(must(other->refresh()));
        must(f.directory->set_status("alice", AccountStatus::disabled, no_record));
        CHECK(must(other->refresh()));
        CHECK(heard == 1);
        CHECK(other->snapshot()->account_by_username("alice")->status == AccountStatus::disabled);
        CHECK_FALSE(must(other->refresh()));

        f.create("bob");
        CHECK(error_of(other->create_account(named("bob"), test_hash, no_record)).code == Errc::already_exists);
        must(other->create_account(named("carol"), test_hash, no_record));
        CHECK(other->snapshot()->accounts().size() == 3);
        CHECK(other->snapshot()->version() == f.directory->snapshot()->version() + 1);
    });
}

TEST_CASE("a database that is away gives an error and changes nothing; a lost answer is cleared up later") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        f.unreliable.mode = UnreliableDatabase::Mode::away;
        CHECK(error_of(f.directory->set_status("alice", AccountStatus::disabled, no_record)).code == Errc::unavailable);
        CHECK(error_of(f.directory->refresh()).code == Errc::unavailable);
        CHECK(f.directory->snapshot()->account_by_username("alice")->status == AccountStatus::active);
        f.unreliable.mode = UnreliableDatabase::Mode::answer_lost;
        CHECK_FALSE(f.directory->set_status("alice", AccountStatus::disabled, no_record).ok());
        f.unreliable.mode = UnreliableDatabase::Mode::works;
        CHECK(must(f.directory->refresh()));
        CHECK(f.directory->snapshot()->account_by_username("alice")->status == AccountStatus::disabled);
    });
}

TEST_CASE("rows that were not written here are refused by name") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        const auto alice = f.create("alice");
        must(f.directory->apply(
            {app("crm", {"crm.example:443", "b.example:1"}), policy("p", {"crm"}, {finance, finance})}, no_record));
        const auto refused = [&](std::string_view sql, const std::string& name, std::string_view undo) {
            INFO(sql);
            f.tamper(sql);
            const auto opened = auth::Directory::open(*f.database, f.clock);
            REQUIRE_FALSE(opened.ok());
            CHECK(opened.error().code == Errc::data_loss);
            CHECK(opened.error().message.find("'" + name + "'") != std::string::npos);
            f.tamper(undo);
        };
        refused("UPDATE accounts SET role = 'root'", alice.id, "UPDATE accounts SET role = 'employee'");
        refused("UPDATE accounts SET status = ''", alice.id, "UPDATE accounts SET status = 'active'");
        refused("UPDATE accounts SET username = 'Alice'", alice.id, "UPDATE accounts SET username = 'alice'");
        refused("UPDATE app_destinations SET destination = 'B.example:1' WHERE position = 1", "crm",
                "UPDATE app_destinations SET destination = 'b.example:1' WHERE position = 1");
        refused("UPDATE app_destinations SET position = 2 WHERE position = 1", "crm",
                "UPDATE app_destinations SET position = 1 WHERE position = 2");
        refused("UPDATE policy_rule_values SET rule = 2 WHERE rule = 1", "p",
                "UPDATE policy_rule_values SET rule = 1 WHERE rule = 2");
        refused("UPDATE policy_rule_values SET position = 1 WHERE rule = 1", "p",
                "UPDATE policy_rule_values SET position = 0 WHERE rule = 1");
        refused("DELETE FROM directory_state", "1", "INSERT INTO directory_state (id, version) VALUES (1, 2)");
    });
}
