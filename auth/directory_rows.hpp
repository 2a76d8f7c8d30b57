#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/model.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"

/// The directory's tables: how an account, an app and a policy are written into rows and read back. Reading is strict:
/// a row that could not have been written here is data_loss, and the error names it. Everything throws
/// base::sql::SqlError and must run inside of a transaction.
namespace usher::auth::rows {

struct Directory {
    std::uint64_t version = 0;
    std::vector<Account> accounts;
    std::vector<App> apps;
    std::vector<Policy> policies;
    std::vector<Department> departments;
};

std::span<const base::sql::Migration> migrations();

std::vector<Policy> read_policies(base::sql::Transaction& transaction);
/// Reads everything, with the version.
Directory read_all(base::sql::Transaction& transaction);
std::uint64_t read_version(base::sql::Transaction& transaction);
/// Locks the version's row until the transaction ends, so that mutations of any gateway come one after another, and
/// returns it.
std::uint64_t lock_version(base::sql::Transaction& transaction);
void write_version(base::sql::Transaction& transaction, std::uint64_t version);

void insert(base::sql::Transaction& transaction, const Account& account, const std::string& password_hash);
void update(base::sql::Transaction& transaction, const Account& account);
void update_password(base::sql::Transaction& transaction, const Account& account, const std::string& password_hash);
/// Of the account that still has the old one, if there is one.
void replace_password_hash(base::sql::Transaction& transaction, const std::string& id, const std::string& old_hash,
                           const std::string& new_hash);
/// The account's groups and sessions go with it.
void erase_account(base::sql::Transaction& transaction, const std::string& id);
void update_second_factor(base::sql::Transaction& transaction, const Account& account);
std::string read_password_hash(base::sql::Transaction& transaction, const std::string& id);  ///< empty: no such account

/// Writes the app or policy as it now is, whether it was there or not.
void put(base::sql::Transaction& transaction, const App& app);
void put(base::sql::Transaction& transaction, const Policy& policy);
/// Without its parent, which may be written behind it.
void put(base::sql::Transaction& transaction, const Department& department);
void put_parent(base::sql::Transaction& transaction, const Department& department);
void erase_department(base::sql::Transaction& transaction, const std::string& code);
std::vector<Department> read_departments(base::sql::Transaction& transaction);
void erase_app(base::sql::Transaction& transaction, const std::string& name);
void erase_policy(base::sql::Transaction& transaction, const std::string& name);

}  // namespace usher::auth::rows
