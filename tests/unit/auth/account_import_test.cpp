#include "auth/account_import.hpp"

#include "auth/support.hpp"

using namespace usher;
using namespace usher::test;
using auth::AccountUpdate;
using auth::ImportedAccount;
using auth::ImportOutcome;
using base::Errc;

namespace {

auth::Account known(std::string username, std::string number = {}) {
    auto account = named(std::move(username));
    account.id = "01936b2e-7a40-7c3e-9d55-0242ac12000" + std::to_string(account.username.size() % 10);
    account.employee_number = std::move(number);
    account.updated_at = test_start;
    return account;
}

ImportedAccount numbered(std::string username, std::string number) {
    return {std::move(username), {.employee_number = std::move(number)}};
}

std::vector<auth::ImportResult> plan(const std::vector<auth::Account>& accounts,
                                     const std::vector<ImportedAccount>& rows) {
    return must(auth::plan_import(accounts, rows, test_start));
}

}  // namespace

TEST_CASE("an import creates who is not there and changes where a row says otherwise") {
    auto alice = known("alice");
    alice.department = "Finance";
    const auto results = plan({alice, known("bob")}, {{"ALICE", {.department = "Sales", .office_phone = ""}},
                                                      {"bob", {.department = ""}},
                                                      {"carol", {.groups = std::vector<std::string>{"b", "a", "b"}}}});
    REQUIRE(results.size() == 3);
    CHECK(results[0].outcome == ImportOutcome::updated);
    CHECK(results[0].changed == std::vector<std::string>{"department"});
    CHECK(results[0].account.id == alice.id);
    CHECK(results[0].account.updated_at == test_start + base::Microseconds{1});
    CHECK(results[1].outcome == ImportOutcome::unchanged);
    CHECK(results[2].outcome == ImportOutcome::created);
    CHECK(results[2].account.groups == std::vector<std::string>{"a", "b"});
    CHECK(results[2].account.must_change_password);
    CHECK(results[2].account.role == auth::Role::employee);
}

TEST_CASE("a row that cannot be is refused for itself and says why") {
    const auto results =
        plan({known("alice", "7"), known("bob")}, {{"al ice", {}},
                                                   {"carol", {.display_name = "a\x1b"}},
                                                   {"dave", {}},
                                                   {"DAVE", {}},
                                                   numbered("bob", "7"),
                                                   {"\xd0\xb0l\xd1\x96\xd1\x81\xd0\xb5", {}},
                                                   {"erin", {.valid_from = test_start, .valid_until = test_start}},
                                                   {"frank", {}}});
    const std::string errors[] = {"username: 'al ice' must be 1 to 64",
                                  "display_name: holds a control character",
                                  "",
                                  "username: 'dave' is given twice, first by accounts[2]",
                                  "employee_number: '7' is the number of account 'alice' already",
                                  "username: ",
                                  "valid_until: is not later than valid_from",
                                  ""};
    REQUIRE(results.size() == std::size(errors));
    for (std::size_t i = 0; i < results.size(); ++i) {
        INFO(i << " " << results[i].error);
        CHECK((results[i].outcome == ImportOutcome::refused) == !errors[i].empty());
        CHECK(results[i].error.rfind(errors[i], 0) == 0);
    }
}

TEST_CASE("an employee number goes from hand to hand in the order of the rows") {
    const std::vector<auth::Account> accounts{known("alice", "7"), known("bob", "8")};
    const auto given = plan(accounts, {numbered("alice", ""), numbered("bob", "7"), numbered("carol", "8")});
    for (const auto& result : given) CHECK(result.error.empty());
    const auto swapped = plan(accounts, {numbered("alice", "8"), numbered("bob", "7")});
    CHECK(swapped[0].outcome == ImportOutcome::refused);
    CHECK(swapped[1].outcome == ImportOutcome::refused);
    const auto twice = plan({}, {numbered("carol", "9"), numbered("dave", "9")});
    CHECK(twice[0].outcome == ImportOutcome::created);
    CHECK(twice[1].error == "employee_number: '9' is the number of account 'carol' already");
}

TEST_CASE("an import has a bound") {
    const std::vector<ImportedAccount> rows(auth::import_max + 1, ImportedAccount{"alice", {}});
    CHECK(error_of(auth::plan_import({}, rows, test_start)).code == Errc::invalid_argument);
}

TEST_CASE("the directory imports all rows or none, each on record") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        const auto alice = f.create("alice");
        const std::vector<ImportedAccount> rows{numbered("alice", "7"), numbered("bob", "8"), {"carol", {}}};
        const auto version = f.directory->snapshot()->version();

        const auto checked = must(f.directory->import_accounts(rows, test_hash, true, f.recorder.function()));
        CHECK(checked[1].outcome == ImportOutcome::created);
        CHECK(f.directory->snapshot()->version() == version);
        CHECK(f.recorder.changes.empty());

        auto bad = rows;
        bad.push_back(numbered("dave", "8"));
        const auto refused = error_of(f.directory->import_accounts(bad, test_hash, false, f.recorder.function()));
        CHECK(refused.message == "accounts[3].employee_number: '8' is the number of account 'bob' already");
        CHECK(f.directory->snapshot()->version() == version);

        f.recorder.refuses = true;
        CHECK(error_of(f.directory->import_accounts(rows, test_hash, false, f.recorder.function())).code ==
              Errc::unavailable);
        CHECK(f.directory->snapshot()->version() == version);
        f.recorder.refuses = false;

        const auto done = must(f.directory->import_accounts(rows, test_hash, false, f.recorder.function()));
        REQUIRE(f.recorder.changes.size() == 3);
        CHECK(f.recorder.changes[0].action == "account.update");
        CHECK(f.recorder.changes[1].action == "account.create");
        CHECK(f.recorder.changes[2].resource == "accounts/carol");
        const auto again = must(auth::Directory::open(*f.database, f.clock));
        CHECK(again->snapshot()->accounts() == f.directory->snapshot()->accounts());
        const auto* bob = again->snapshot()->account_by_username("bob");
        REQUIRE(bob != nullptr);
        CHECK(bob->employee_number == "8");
        CHECK(bob->id == done[1].account.id);
        CHECK(must(again->credentials(bob->id)).password_hash == test_hash);
        CHECK(again->snapshot()->account_by_id(alice.id)->employee_number == "7");
    });
}

TEST_CASE("an import takes over where accounts come from") {
    auto alice = known("alice");
    alice.source = "hr";
    alice.outside_id = "1";
    const auto from = [](std::string username, std::string source, std::string outside_id) {
        return ImportedAccount{std::move(username), {.source = std::move(source), .outside_id = std::move(outside_id)}};
    };
    const auto results =
        plan({alice, known("bob")},
             {from("bob", "hr", "1"), from("alice", "hr", "2"), from("bob", "hr", "1"), from("carol", "ldap", "2"),
              from("dave", "hr", ""), from("erin", "", "3"), from("frank", "HR", "3"), from("grace", "hr", "a\n3")});
    CHECK(results[0].error == "outside_id: '1' of source 'hr' is account 'alice' already");
    CHECK(results[1].changed == std::vector<std::string>{"outside_id"});
    CHECK(results[2].error == "username: 'bob' is given twice, first by accounts[0]");
    CHECK(results[3].outcome == ImportOutcome::created);  // another source's 2
    CHECK(results[4].error == "outside_id: is missing; the source knows the account by it");
    CHECK(results[5].error == "source: is missing; it says whose the outside_id is");
    CHECK(results[6].error.rfind("source: 'HR' must be 1 to 64 lower-case letters", 0) == 0);
    CHECK(results[7].outcome == ImportOutcome::refused);
}

TEST_CASE("an outside id belongs to one account of its source, and goes with the account") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        f.create("bob");
        must(f.directory->update_account("alice", {.source = "hr", .outside_id = "1"}, no_record));
        CHECK(error_of(f.directory->update_account("bob", {.source = "hr", .outside_id = "1"}, no_record)).message ==
              "outside_id: '1' of source 'hr' is account 'alice' already");
        must(f.directory->update_account("bob", {.source = "ldap", .outside_id = "1"}, no_record));
        must(f.directory->update_account("bob", {.display_name = "Bob"}, no_record));
        const auto again = must(auth::Directory::open(*f.database, f.clock));
        CHECK(again->snapshot()->accounts() == f.directory->snapshot()->accounts());
        CHECK(again->snapshot()->account_by_username("bob")->source == "ldap");
        // Apart in the schema, and gone with the account.
        must(f.directory->delete_account("alice", no_record));
        must(f.directory->update_account("bob", {.source = "hr"}, no_record));
        must(f.directory->update_account("bob", {.source = "", .outside_id = ""}, no_record));
        CHECK(
            must(auth::Directory::open(*f.database, f.clock))->snapshot()->account_by_username("bob")->source.empty());
    });
}

TEST_CASE("to a program of before, a privacy officer is an auditor") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        const auto stored = [&] {
            std::string role;
            REQUIRE(f.database
                        ->read([&](base::sql::Transaction& tx) -> base::Result<void> {
                            role = tx.execute("SELECT role FROM accounts WHERE username = 'carol'")[0].text(0);
                            return {};
                        })
                        .ok());
            return role;
        };
        const auto read_again = [&] {
            return must(auth::Directory::open(*f.database, f.clock))->snapshot()->account_by_username("carol")->role;
        };
        auto carol = named("carol");
        carol.role = auth::Role::privacy_officer;
        must(f.directory->create_account(carol, test_hash, no_record));
        CHECK(stored() == "auditor");
        CHECK(read_again() == auth::Role::privacy_officer);
        must(f.directory->update_account("carol", {.display_name = "Carol"}, no_record));
        CHECK(read_again() == auth::Role::privacy_officer);
        must(f.directory->update_account("carol", {.role = auth::Role::auditor}, no_record));
        CHECK(read_again() == auth::Role::auditor);
        must(f.directory->update_account("carol", {.role = auth::Role::privacy_officer}, no_record));
        // A program of before gives her another role, and knows nothing of the other table.
        REQUIRE(f.database
                    ->transaction([](base::sql::Transaction& tx) -> base::Result<void> {
                        tx.execute("UPDATE accounts SET role = 'employee' WHERE username = 'carol'");
                        return {};
                    })
                    .ok());
        CHECK(read_again() == auth::Role::employee);
    });
}

TEST_CASE("an employee number belongs to one account") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        f.create("alice");
        f.create("bob");
        must(f.directory->update_account("alice", {.employee_number = "7"}, no_record));
        CHECK(error_of(f.directory->update_account("bob", {.employee_number = "7"}, no_record)).message ==
              "employee_number: '7' is the number of account 'alice' already");
        auto carol = named("carol");
        carol.employee_number = "7";
        CHECK(error_of(f.directory->create_account(carol, test_hash, no_record)).code == Errc::already_exists);
        must(f.directory->update_account("alice", {.employee_number = ""}, no_record));
        must(f.directory->update_account("bob", {.employee_number = "7"}, no_record));
        CHECK(error_of(f.directory->create_account(named("\xd0\xb0l\xd1\x96\xd1\x81\xd0\xb5"), test_hash, no_record))
                  .message.rfind("username: ", 0) == 0);
    });
}
