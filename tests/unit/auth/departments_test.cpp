#include "auth/department_tree.hpp"
#include "auth/directory_draft.hpp"
#include "auth/policy.hpp"
#include "auth/policy_diff.hpp"
#include "auth/support.hpp"

using namespace usher;
using namespace usher::test;
using auth::Department;
using auth::Rule;
using base::Errc;

namespace {

Department department(std::string code, std::string parent = "") { return {std::move(code), "", std::move(parent)}; }

auth::App crm() {
    auth::App out;
    out.name = "crm";
    out.destinations = {auth::DestinationPattern::parse("10.0.0.1:1").value()};
    return out;
}

auth::Policy policy(std::vector<Rule> allow, std::vector<Rule> deny = {}) {
    auth::Policy out;
    out.name = "p";
    out.apps = {"crm"};
    out.allow = std::move(allow);
    out.deny = std::move(deny);
    return out;
}

auth::Account in(const std::string& code) {
    auto account = named("alice");
    account.id = "id-alice";
    account.department = code;
    return account;
}

const std::vector<Department> tree{department("Group"), department("Finance", "Group"), department("Tax", "Finance"),
                                   department("Sales", "Group")};

std::string decision(const std::string& code, const auth::Policy& rules) {
    const auth::DirectorySnapshot directory(1, {in(code)}, {crm()}, {rules}, tree);
    return auth::decide(directory, directory.accounts()[0], *directory.app("crm"), {}).text();
}

}  // namespace

TEST_CASE("a rule about a department is about all that lies in it, and about nothing else") {
    const auto finance = policy({Rule{{}, {}, {"Finance"}}});
    CHECK(decision("Finance", finance) == "allow-rule p/allow[0] by department");
    CHECK(decision("Tax", finance) == "allow-rule p/allow[0] by department");
    CHECK(decision("Group", finance) == "no-allow-rule");
    CHECK(decision("Sales", finance) == "no-allow-rule");
    const auto but_tax = policy({Rule{{}, {}, {"Group"}}}, {Rule{{}, {}, {"Tax"}}});
    CHECK(decision("Finance", but_tax) == "allow-rule p/allow[0] by department");
    CHECK(decision("Tax", but_tax) == "deny-rule p/deny[0] by department");
    // A code that is no department's stands for itself, as it did before there were any.
    const auto elsewhere = policy({Rule{{}, {}, {"Elsewhere"}}});
    CHECK(decision("Elsewhere", elsewhere) == "allow-rule p/allow[0] by department");
    CHECK(decision("", policy({Rule{{}, {}, {"Group"}}})) == "no-allow-rule");
    // What is explained is what is decided.
    const auth::DirectorySnapshot directory(1, {in("Tax")}, {crm()}, {finance}, tree);
    CHECK_FALSE(auth::explain(directory, directory.accounts()[0], *directory.app("crm"), {}).at(0).unmet);
}

TEST_CASE("departments that are no tree are told from those that are") {
    std::size_t culprit = 99;
    CHECK(auth::check_department_tree(tree, culprit).ok());
    CHECK(auth::check_department_tree({}, culprit).ok());
    const auto problem = [&](const std::vector<Department>& all) {
        return error_of(auth::check_department_tree(all, culprit)).message;
    };
    CHECK(problem({department("A", "Finanse"), department("Finance")}) ==
          "department 'Finanse' does not exist; did you mean 'Finance'?");
    CHECK(culprit == 0);
    CHECK(problem({department("X", "A"), department("A", "B"), department("B", "A")}) ==
          "the department lies in itself: 'A' in 'B' in 'A'");
    CHECK(culprit == 1);
    std::vector<Department> deep{department("d1")};
    while (deep.size() < auth::department_levels_max)
        deep.push_back(department("d" + std::to_string(deep.size() + 1), deep.back().code));
    CHECK(auth::check_department_tree(deep, culprit).ok());
    CHECK(auth::DepartmentTree(deep).above(deep.back().code).size() == 15);
    deep.push_back(department("d17", "d16"));
    CHECK(problem(deep) == "the department is on level 17 of at most 16");
    CHECK(deep[culprit].code == "d17");
}

TEST_CASE("departments are applied, kept, moved and deleted, and each change decides anew") {
    for_each_backend([](TestDatabase& test) {
        DirectoryFixture f(test);
        must(f.directory->create_account(in("Tax"), test_hash, no_record));
        must(f.directory->apply({crm(), policy({Rule{{}, {}, {"Group"}}})}, no_record));
        const auto allowed = [&] {
            const auto now = f.directory->snapshot();
            return auth::decide(*now, now->accounts()[0], *now->app("crm"), {}).allowed;
        };
        CHECK_FALSE(allowed());
        // In any order.
        const auth::Resources all{tree[2], tree[1], tree[0], tree[3]};
        must(f.directory->apply(all, f.recorder.function()));
        CHECK(allowed());
        CHECK(f.recorder.changes.at(0).action == "department.apply");
        CHECK(f.recorder.changes.at(0).resource == "departments/Tax");
        CHECK(f.recorder.changes.at(0).after_json.find(R"({"code":"Tax","name":"","parent":"Finance")") == 0);
        CHECK(must(f.directory->apply(all, no_record)) == std::vector(4, auth::ApplyOutcome::unchanged));
        const auto other = test.open();
        CHECK(must(auth::Directory::open(*other, f.clock))->snapshot()->departments() ==
              f.directory->snapshot()->departments());

        const auto apply = [&](Department changed) {
            return error_of(f.directory->apply({policy({Rule{{}, {}, {"Group"}}}), changed}, no_record)).message;
        };
        CHECK(apply(department("Group", "Tax")).find("resources[1].parent: the department lies in itself: ") == 0);
        CHECK(apply(department("New", "Finanse")) ==
              "resources[1].parent: department 'Finanse' does not exist; did you mean 'Finance'?");
        CHECK(apply(department("New", "New")) == "resources[1].parent: is the department itself");
        CHECK(apply(department("a/b")) == "resources[1].code: must hold no \"/\"");
        CHECK(apply(department("")) == "resources[1].code: is empty");
        CHECK(error_of(f.directory->apply({tree[0], tree[0]}, no_record)).message ==
              "resources[1].code: department 'Group' is given twice");

        const auto before = f.directory->snapshot();
        const auto after = must(auth::preview(*before, {department("Tax")}, f.clock.utc()));
        const auto part = auth::PolicyDiff(*before, *after, f.clock.utc()).next({}, 10, 1000);
        REQUIRE(part.changes.size() == 1);
        CHECK(part.changes[0].after == auth::Reach::never);
        must(f.directory->apply({department("Tax")}, no_record));
        CHECK_FALSE(allowed());

        const auto refused = [&](const char* code) {
            const auto error = error_of(f.directory->delete_department(code, no_record));
            CHECK((error.code == Errc::failed_precondition || error.code == Errc::not_found));
            return error.message;
        };
        CHECK(refused("Tax") == "department 'Tax' has accounts (1); move them first");
        CHECK(refused("Group").find("lies in 'Group'; move or delete that first") != std::string::npos);
        CHECK(refused("Taxe") == "department 'Taxe' does not exist; did you mean 'Tax'?");
        must(f.directory->delete_department("Sales", f.recorder.function()));
        CHECK(f.recorder.changes.back().action == "department.delete");
        CHECK(f.directory->snapshot()->departments().size() == 3);

        f.tamper("UPDATE departments SET parent = 'Tax' WHERE code = 'Tax'");
        CHECK(error_of(auth::Directory::open(*other, f.clock)).code == Errc::data_loss);
    });
}

TEST_CASE("what accounts and policies had as departments goes on through the migration") {
    for_each_backend([](TestDatabase& test) {
        const auto database = test.open();
        const auto all = auth::Directory::migrations();
        const auto eleventh = std::find_if(all.begin(), all.end(), [](const auto& m) { return m.version == 11; });
        must(database->migrate(all.subspan(0, static_cast<std::size_t>(eleventh - all.begin()))));
        must(database->transaction([](base::sql::Transaction& t) -> base::Result<void> {
            t.execute(
                "INSERT INTO accounts (id, username, display_name, department, office_mail, office_phone, role, "
                "status, "
                "password_hash, created_at, updated_at) VALUES ('01900000-0000-7000-8000-000000000001', 'alice', '', "
                "'R&D / Paris', '', '', 'employee', 'active', 'x', 1, 1)");
            t.execute("INSERT INTO apps (name, updated_at) VALUES ('crm', 1)");
            t.execute("INSERT INTO app_destinations (app, position, destination) VALUES ('crm', 0, '10.0.0.1:1')");
            t.execute("INSERT INTO policies (name, updated_at) VALUES ('p', 1)");
            t.execute("INSERT INTO policy_apps (policy, position, app) VALUES ('p', 0, 'crm')");
            t.execute("INSERT INTO policy_rule_values VALUES ('p', 'allow', 0, 'department', 0, 'R&D / Paris')");
            return {};
        }));
        must(database->migrate(all));
        base::ManualClock clock{test_start};
        const auto directory = must(auth::Directory::open(*database, clock));
        const auto now = directory->snapshot();
        CHECK(now->departments().empty());
        CHECK(auth::decide(*now, now->accounts().at(0), *now->app("crm"), {}).allowed);
    });
}
