#include "auth/directory_rows.hpp"

#include <algorithm>
#include <unordered_map>

#include "auth/row_checks.hpp"
#include "auth/shared_change.hpp"
#include "base/ids.hpp"

namespace usher::auth::rows {
namespace {

using base::sql::Rows;
using base::sql::Transaction;

std::vector<Account> read_accounts(Transaction& transaction) {
    std::vector<Account> accounts;
    std::unordered_map<std::string, std::size_t> index;
    const Rows rows = transaction.execute(
        "SELECT id, username, display_name, department, office_mail, office_phone, role, status, created_at, "
        "updated_at, valid_from, valid_until, second_factor, must_change_password, password_is_short, "
        "employee_number, source, outside_id, p.account_id FROM accounts LEFT JOIN account_sources s ON "
        "s.account_id = id LEFT JOIN privacy_officers p ON p.account_id = id");
    accounts.reserve(rows.size());
    index.reserve(rows.size());
    for (const auto& row : rows) {
        Account account;
        account.id = row.text(0);
        account.username = row.text(1);
        account.display_name = row.text(2);
        account.department = row.text(3);
        account.office_mail = row.text(4);
        account.office_phone = row.text(5);
        const auto role = role_from_word(row.text(6));
        const auto status = status_from_word(row.text(7));
        if (!role) corrupt("accounts", account.id, "has a role that does not exist");
        if (!status) corrupt("accounts", account.id, "has a status that does not exist");
        account.role = *role == Role::auditor && !row.is_null(18) ? Role::privacy_officer : *role;
        account.status = *status;
        if (!is_time(row.integer(8)) || !is_time(row.integer(9)))
            corrupt("accounts", account.id, "was made or changed at no time");
        account.created_at = base::from_micros(row.integer(8));
        account.updated_at = base::from_micros(row.integer(9));
        if (const auto from = row.maybe_integer(10)) account.valid_from = base::from_micros(*from);
        if (const auto until = row.maybe_integer(11)) account.valid_until = base::from_micros(*until);
        account.second_factor = row.integer(12) != 0;
        account.must_change_password = row.integer(13) != 0;
        account.password_is_short = row.integer(14) != 0;
        account.employee_number = row.text(15);
        account.source = row.maybe_text(16).value_or("");
        account.outside_id = row.maybe_text(17).value_or("");
        const auto id = base::Uuid::parse(account.id);
        if (!id || id->to_string() != account.id) corrupt("accounts", account.id, "has an id that is no UUID");
        index.emplace(account.id, accounts.size());
        accounts.push_back(std::move(account));
    }
    for (const auto& row : transaction.execute("SELECT account_id, name FROM account_groups")) {
        const auto found = index.find(row.text(0));
        if (found == index.end()) corrupt("account_groups", row.text(0), "belongs to no account");
        accounts[found->second].groups.push_back(row.text(1));
    }
    for (auto& account : accounts) {
        // Sorted here: the order of texts in a database depends on its collation.
        std::sort(account.groups.begin(), account.groups.end());
        must_be_canonical("accounts", account.id, account);
    }
    return accounts;
}

std::vector<App> read_apps(Transaction& transaction) {
    std::vector<App> apps;
    std::unordered_map<std::string, std::size_t> index;
    for (const auto& row : transaction.execute("SELECT name, updated_at, on_control_loss FROM apps")) {
        App app;
        app.name = row.text(0);
        app.updated_at = base::from_micros(row.integer(1));
        const auto loss = ControlLoss::parse(row.text(2));
        if (!loss || loss->to_string() != row.text(2)) corrupt("apps", app.name, "has a malformed on_control_loss");
        app.on_control_loss = *loss;
        index.emplace(app.name, apps.size());
        apps.push_back(std::move(app));
    }
    const auto app_of = [&](std::string_view table, const std::string& name) -> App& {
        const auto found = index.find(name);
        if (found == index.end()) corrupt(table, name, "belongs to no app");
        return apps[found->second];
    };
    for (const auto& row :
         transaction.execute("SELECT app, position, destination FROM app_destinations ORDER BY app, position")) {
        auto& app = app_of("app_destinations", row.text(0));
        auto pattern = DestinationPattern::parse(row.text(2));
        if (!pattern || pattern->to_string() != row.text(2)) corrupt("apps", app.name, "has a malformed destination");
        append_at("apps", app.name, app.destinations, row.integer(1), std::move(*pattern));
    }
    for (const auto& row :
         transaction.execute("SELECT app, position, block FROM app_allow_addresses ORDER BY app, position")) {
        auto& app = app_of("app_allow_addresses", row.text(0));
        const auto block = base::Cidr::parse(row.text(2));
        if (!block || block->to_string() != row.text(2)) corrupt("apps", app.name, "has a malformed allowed address");
        append_at("apps", app.name, app.allow_addresses, row.integer(1), *block);
    }
    for (const auto& app : apps) must_be_canonical("apps", app.name, app);
    return apps;
}

base::sql::Value time_or_null(const std::optional<base::UtcTime>& time) {
    return time ? base::sql::Value(base::to_micros(*time)) : base::sql::Value();
}

void insert_groups(Transaction& transaction, const Account& account) {
    for (const auto& group : account.groups) {
        transaction.execute("INSERT INTO account_groups (account_id, name) VALUES ($1, $2)", {account.id, group});
    }
}

void insert_source(Transaction& transaction, const Account& account) {
    if (account.source.empty()) return;
    transaction.execute("INSERT INTO account_sources (account_id, source, outside_id) VALUES ($1, $2, $3)",
                        {account.id, account.source, account.outside_id});
}

/// As `accounts` has it.
std::string stored_role(Role role) {
    return std::string(to_word(role == Role::privacy_officer ? Role::auditor : role));
}

void insert_privacy_officer(Transaction& transaction, const Account& account) {
    if (account.role == Role::privacy_officer)
        transaction.execute("INSERT INTO privacy_officers (account_id) VALUES ($1)", {account.id});
}

std::uint64_t version_of(const Rows& rows) {
    if (rows.size() != 1 || rows[0].integer(0) < 0) corrupt("directory_state", "1", "is missing or negative");
    return static_cast<std::uint64_t>(rows[0].integer(0));
}

}  // namespace

Directory read_all(Transaction& transaction) {
    Directory directory;
    directory.version = read_version(transaction);
    directory.accounts = read_accounts(transaction);
    directory.apps = read_apps(transaction);
    directory.policies = read_policies(transaction);
    directory.departments = read_departments(transaction);
    return directory;
}

std::uint64_t read_version(Transaction& transaction) {
    return version_of(transaction.execute("SELECT version FROM directory_state WHERE id = 1"));
}

std::uint64_t lock_version(Transaction& transaction) {
    transaction.execute("UPDATE directory_state SET version = version WHERE id = 1");
    return read_version(transaction);
}

void write_version(Transaction& transaction, std::uint64_t version) {
    transaction.execute("UPDATE directory_state SET version = $1 WHERE id = 1", {static_cast<std::int64_t>(version)});
    must_change_one(transaction, "directory_state");
    transaction.notify(to_message({ChangeKind::directory, {}}));
}

void insert(Transaction& transaction, const Account& account, const std::string& password_hash) {
    transaction.execute(
        "INSERT INTO accounts (id, username, display_name, department, office_mail, office_phone, role, status, "
        "password_hash, created_at, updated_at, valid_from, valid_until, must_change_password, password_is_short, "
        "employee_number) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        {account.id, account.username, account.display_name, account.department, account.office_mail,
         account.office_phone, stored_role(account.role), std::string(to_word(account.status)), password_hash,
         base::to_micros(account.created_at), base::to_micros(account.updated_at), time_or_null(account.valid_from),
         time_or_null(account.valid_until), std::int64_t{account.must_change_password},
         std::int64_t{account.password_is_short}, account.employee_number});
    insert_groups(transaction, account);
    insert_source(transaction, account);
    insert_privacy_officer(transaction, account);
}

void update(Transaction& transaction, const Account& account) {
    transaction.execute(
        "UPDATE accounts SET display_name = $2, department = $3, office_mail = $4, office_phone = $5, role = $6, "
        "status = $7, updated_at = $8, valid_from = $9, valid_until = $10, employee_number = $11 WHERE id = $1",
        {account.id, account.display_name, account.department, account.office_mail, account.office_phone,
         stored_role(account.role), std::string(to_word(account.status)), base::to_micros(account.updated_at),
         time_or_null(account.valid_from), time_or_null(account.valid_until), account.employee_number});
    must_change_one(transaction, "accounts");
    transaction.execute("DELETE FROM account_groups WHERE account_id = $1", {account.id});
    insert_groups(transaction, account);
    transaction.execute("DELETE FROM account_sources WHERE account_id = $1", {account.id});
    insert_source(transaction, account);
    transaction.execute("DELETE FROM privacy_officers WHERE account_id = $1", {account.id});
    insert_privacy_officer(transaction, account);
}

void update_password(Transaction& transaction, const Account& account, const std::string& password_hash) {
    transaction.execute(
        "UPDATE accounts SET password_hash = $2, updated_at = $3, must_change_password = $4, password_is_short = $5 "
        "WHERE id = $1",
        {account.id, password_hash, base::to_micros(account.updated_at), std::int64_t{account.must_change_password},
         std::int64_t{account.password_is_short}});
    must_change_one(transaction, "accounts");
}

void replace_password_hash(Transaction& transaction, const std::string& id, const std::string& old_hash,
                           const std::string& new_hash) {
    transaction.execute("UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
                        {id, old_hash, new_hash});
}

void update_second_factor(Transaction& transaction, const Account& account) {
    transaction.execute(
        "UPDATE accounts SET second_factor = $2, updated_at = $3, must_change_password = $4 WHERE id = $1",
        {account.id, std::int64_t{account.second_factor}, base::to_micros(account.updated_at),
         std::int64_t{account.must_change_password}});
    must_change_one(transaction, "accounts");
}

void erase_account(Transaction& transaction, const std::string& id) {
    transaction.notify(to_message({ChangeKind::sessions_of, id}));  // their rows go with it
    transaction.execute("DELETE FROM accounts WHERE id = $1", {id});
    must_change_one(transaction, "accounts");
}

std::string read_password_hash(Transaction& transaction, const std::string& id) {
    const Rows rows = transaction.execute("SELECT password_hash FROM accounts WHERE id = $1", {id});
    return rows.empty() ? std::string() : rows[0].text(0);
}

void put(Transaction& transaction, const App& app) {
    transaction.execute(
        "INSERT INTO apps (name, updated_at, on_control_loss) VALUES ($1, $2, $3) "
        "ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at, on_control_loss = excluded.on_control_loss",
        {app.name, base::to_micros(app.updated_at), app.on_control_loss.to_string()});
    transaction.execute("DELETE FROM app_destinations WHERE app = $1", {app.name});
    transaction.execute("DELETE FROM app_allow_addresses WHERE app = $1", {app.name});
    for (std::size_t i = 0; i < app.destinations.size(); ++i) {
        transaction.execute("INSERT INTO app_destinations (app, position, destination) VALUES ($1, $2, $3)",
                            {app.name, static_cast<std::int64_t>(i), app.destinations[i].to_string()});
    }
    for (std::size_t i = 0; i < app.allow_addresses.size(); ++i) {
        transaction.execute("INSERT INTO app_allow_addresses (app, position, block) VALUES ($1, $2, $3)",
                            {app.name, static_cast<std::int64_t>(i), app.allow_addresses[i].to_string()});
    }
}

void erase_app(Transaction& transaction, const std::string& name) {
    transaction.execute("DELETE FROM apps WHERE name = $1", {name});
    must_change_one(transaction, "apps");
}

}  // namespace usher::auth::rows
