#include "auth/account_import.hpp"

#include <unordered_map>

#include "auth/username.hpp"
#include "auth/validate.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;
using base::Result;

std::string quoted(std::string_view value) { return "'" + base::escape_for_terminal(value, 100) + "'"; }

Error looks_alike(std::string_view username, std::string_view other) {
    return {Errc::already_exists,
            "username: " + quoted(username) + " cannot be told from " + quoted(other) + " by its looks"};
}

Error number_taken(const std::string& number, std::string_view owner) {
    return {Errc::already_exists,
            "employee_number: " + quoted(number) + " is the number of account " + quoted(owner) + " already"};
}

Error outside_id_taken(const Account& account, std::string_view owner) {
    return {Errc::already_exists, "outside_id: " + quoted(account.outside_id) + " of source " + quoted(account.source) +
                                      " is account " + quoted(owner) + " already"};
}

/// Neither a source nor an outside id has a control character in it. Empty: it has none.
std::string outside_key(const Account& account) {
    return account.source.empty() ? std::string() : account.source + '\n' + account.outside_id;
}

using Owners = std::unordered_map<std::string, std::string>;  // who has what no other may have: usernames

/// `account` gives `old` up and takes `key`; an empty one is none. The one who has `key` already, if somebody does.
std::optional<std::string> take(Owners& owners, const std::string& old, const std::string& key,
                                const Account& account) {
    if (old == key) return std::nullopt;
    if (!key.empty()) {
        const auto [owner, is_new] = owners.emplace(key, account.username);
        if (!is_new) return owner->second;
    }
    if (!old.empty()) owners.erase(old);
    return std::nullopt;
}

std::vector<std::string> changed_fields(const Account& before, const Account& after) {
    std::vector<std::string> names;
    const auto compare = [&](const char* name, const auto& a, const auto& b) {
        if (!(a == b)) names.emplace_back(name);
    };
    compare("display_name", before.display_name, after.display_name);
    compare("department", before.department, after.department);
    compare("groups", before.groups, after.groups);
    compare("office_mail", before.office_mail, after.office_mail);
    compare("office_phone", before.office_phone, after.office_phone);
    compare("employee_number", before.employee_number, after.employee_number);
    compare("source", before.source, after.source);
    compare("outside_id", before.outside_id, after.outside_id);
    compare("role", before.role, after.role);
    compare("valid_from", before.valid_from, after.valid_from);
    compare("valid_until", before.valid_until, after.valid_until);
    return names;
}

/// The directory while an import goes through its rows.
class Import {
public:
    Import(const std::vector<Account>& accounts, base::UtcTime now) : now_(now) {
        for (const auto& account : accounts) {
            by_username_.emplace(account.username, &account);
            looks_.add(account.username);
            take(numbers_, {}, account.employee_number, account);
            take(outside_ids_, {}, outside_key(account), account);
        }
    }

    Result<ImportResult> row(const ImportedAccount& row, std::size_t index) {
        Account named;
        named.username = row.username;
        if (auto ok = canonicalize(named); !ok) return ok.error();
        if (const auto [first, is_new] = rows_.emplace(named.username, index); !is_new)
            return Error{Errc::invalid_argument, "username: " + quoted(named.username) +
                                                     " is given twice, first by accounts[" +
                                                     std::to_string(first->second) + "]"};
        const auto known = by_username_.find(named.username);
        if (known == by_username_.end()) return create(std::move(named), row.fields);
        return change(*known->second, row.fields);
    }

private:
    Result<ImportResult> create(Account account, const AccountUpdate& fields) {
        if (const auto other = looks_.alike(account.username)) return looks_alike(account.username, *other);
        account.must_change_password = true;
        auto next = updated(account, fields);
        if (!next) return std::move(next).error();
        next->created_at = next->updated_at = now_;
        if (auto ok = take_numbers({}, *next); !ok) return ok.error();
        looks_.add(rows_.find(next->username)->first);
        return ImportResult{ImportOutcome::created, std::move(*next), {}, {}};
    }

    Result<ImportResult> change(const Account& before, const AccountUpdate& fields) {
        auto next = updated(before, fields);
        if (!next) return std::move(next).error();
        auto changed = changed_fields(before, *next);
        if (changed.empty()) return ImportResult{ImportOutcome::unchanged, std::move(*next), {}, {}};
        if (auto ok = take_numbers(before, *next); !ok) return ok.error();
        next->updated_at = next_update(now_, before.updated_at);
        return ImportResult{ImportOutcome::updated, std::move(*next), std::move(changed), {}};
    }

    /// Row by row, as the database's own index sees it.
    Result<void> take_numbers(const Account& before, const Account& account) {
        if (const auto owner = take(numbers_, before.employee_number, account.employee_number, account))
            return number_taken(account.employee_number, *owner);
        if (const auto owner = take(outside_ids_, outside_key(before), outside_key(account), account))
            return outside_id_taken(account, *owner);
        return {};
    }

    base::UtcTime now_;
    std::unordered_map<std::string, const Account*> by_username_;
    Owners numbers_, outside_ids_;
    std::unordered_map<std::string, std::size_t> rows_;
    UsernameLooks looks_;
};

}  // namespace

Result<Account> updated(const Account& before, const AccountUpdate& update) {
    Account account = before;
    if (update.display_name) account.display_name = *update.display_name;
    if (update.department) account.department = *update.department;
    if (update.office_mail) account.office_mail = *update.office_mail;
    if (update.office_phone) account.office_phone = *update.office_phone;
    if (update.employee_number) account.employee_number = *update.employee_number;
    if (update.source) account.source = *update.source;
    if (update.outside_id) account.outside_id = *update.outside_id;
    if (update.groups) account.groups = *update.groups;
    if (update.role) account.role = *update.role;
    if (update.valid_from) account.valid_from = *update.valid_from;
    if (update.valid_until) account.valid_until = *update.valid_until;
    if (auto ok = canonicalize(account); !ok) return ok.error();
    return account;
}

Result<void> check_username_is_free(const std::vector<Account>& accounts, const std::string& username) {
    UsernameLooks looks;
    for (const auto& account : accounts) {
        if (account.username == username) return {Errc::already_exists, "account '" + username + "' exists already"};
        looks.add(account.username);
    }
    if (const auto other = looks.alike(username)) return looks_alike(username, *other);
    return {};
}

Result<void> check_numbers(const std::vector<Account>& accounts, const Account& account) {
    for (const auto& other : accounts) {
        if (other.username == account.username) continue;
        if (!account.employee_number.empty() && other.employee_number == account.employee_number)
            return number_taken(account.employee_number, other.username);
        if (!account.source.empty() && other.source == account.source && other.outside_id == account.outside_id)
            return outside_id_taken(account, other.username);
    }
    return {};
}

Result<std::vector<ImportResult>> plan_import(const std::vector<Account>& accounts,
                                              const std::vector<ImportedAccount>& rows, base::UtcTime now) {
    if (rows.size() > import_max)
        return {Errc::invalid_argument, "accounts: are more than " + std::to_string(import_max) + " in one call"};
    Import import(accounts, now);
    std::vector<ImportResult> results;
    results.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        auto result = import.row(rows[i], i);
        if (result)
            results.push_back(std::move(*result));
        else
            results.push_back({ImportOutcome::refused, {}, {}, result.error().message});
    }
    return results;
}

}  // namespace usher::auth
