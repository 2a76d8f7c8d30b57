#include "auth/directory.hpp"

#include <algorithm>
#include <mutex>

#include "auth/change_json.hpp"
#include "auth/directory_draft.hpp"
#include "auth/directory_rows.hpp"
#include "auth/second_factor_rows.hpp"
#include "auth/username.hpp"
#include "auth/validate.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Transaction;

constexpr std::size_t password_hash_bytes_max = 256;

std::string quoted(std::string_view value) { return "'" + base::escape_for_terminal(value, 100) + "'"; }

Error no_account(std::string_view username, const Draft& draft) {
    return {Errc::not_found, "account " + quoted(username) + " does not exist" +
                                 suggestion(username, draft.accounts, &Account::username)};
}

Result<void> check_password_hash(const std::string& hash) {
    if (hash.empty() || hash.size() > password_hash_bytes_max || !check_text("password_hash", hash)) {
        return {Errc::invalid_argument, "password_hash: is not an encoded hash"};
    }
    return {};
}

}  // namespace

struct Directory::Impl {
    Impl(base::sql::Database& d, const base::Clock& c) : database(d), clock(c) {}

    base::sql::Database& database;
    const base::Clock& clock;
    std::mutex mutation_mutex;          ///< held through a mutation, its listener included
    mutable std::mutex snapshot_mutex;  ///< held to copy or swap a pointer
    Snapshot current = std::make_shared<const DirectorySnapshot>();
    std::function<void(const Snapshot&, const Snapshot&)> listener;

    Snapshot get() const {
        std::lock_guard lock(snapshot_mutex);
        return current;
    }

    void publish(Snapshot next) {
        Snapshot before;
        {
            std::lock_guard lock(snapshot_mutex);
            before = std::exchange(current, next);
        }
        if (listener) listener(before, next);
    }

    static Snapshot load(Transaction& transaction) {
        auto all = rows::read_all(transaction);
        return std::make_shared<const DirectorySnapshot>(all.version, std::move(all.accounts), std::move(all.apps),
                                                         std::move(all.policies), std::move(all.departments));
    }

    using Edit = std::function<Result<void>(Transaction&, Draft&)>;

    /// Runs `edit` on the directory as the database has it now. Nothing is written, recorded or published when it
    /// changes nothing.
    Result<void> mutate(const RecordChange& record, const Edit& edit) {
        std::lock_guard lock(mutation_mutex);
        Snapshot next;
        // A transaction that is run again after a conflict must not record the same act twice.
        std::vector<Change> recorded;
        auto committed = database.transaction([&](Transaction& transaction) -> Result<void> {
            const auto version = rows::lock_version(transaction);
            Snapshot from = get();
            // Another gateway has been here.
            if (from->version() != version) from = load(transaction);
            next = from;
            Draft draft(*from);
            if (auto ok = edit(transaction, draft); !ok) return ok;
            if (draft.changes.empty()) return {};
            rows::write_version(transaction, version + 1);
            const auto changes = std::move(draft.changes);
            next = std::move(draft).finish(version + 1);
            for (std::size_t i = 0; record && i < changes.size(); ++i) {
                if (i < recorded.size() && recorded[i] == changes[i]) continue;
                if (auto ok = record(changes[i]); !ok) return ok;
                recorded.resize(i);
                recorded.push_back(changes[i]);
            }
            return {};
        });
        if (!committed) return committed;
        if (next != get()) publish(std::move(next));
        return {};
    }

    /// As mutate(), for one account that is there: `edit` changes it; whether it did decides what follows.
    Result<Account> mutate_account(std::string_view username, std::string action, const RecordChange& record,
                                   const std::function<Result<bool>(Transaction&, const Draft&, Account&)>& edit) {
        const auto canonical = canonical_username(username);
        Account after;
        auto ok = mutate(record, [&](Transaction& transaction, Draft& draft) -> Result<void> {
            const auto found = std::find_if(draft.accounts.begin(), draft.accounts.end(),
                                            [&](const Account& a) { return canonical && a.username == *canonical; });
            if (found == draft.accounts.end()) return no_account(username, draft);
            const Account before = *found;
            auto changed = edit(transaction, draft, *found);
            if (!changed) return changed.error();
            after = *found;
            if (!*changed) return {};
            draft.changes.push_back({action, "accounts/" + after.username, to_json(before), to_json(after)});
            return {};
        });
        if (!ok) return ok.error();
        return after;
    }
};

Directory::Directory(base::sql::Database& database, const base::Clock& clock)
    : impl_(std::make_unique<Impl>(database, clock)) {}

Directory::~Directory() = default;

std::span<const base::sql::Migration> Directory::migrations() { return rows::migrations(); }

Result<std::unique_ptr<Directory>> Directory::open(base::sql::Database& database, const base::Clock& clock) {
    std::unique_ptr<Directory> directory(new Directory(database, clock));
    auto read = database.read([&](Transaction& transaction) -> Result<void> {
        directory->impl_->current = Impl::load(transaction);
        return {};
    });
    if (!read) return read.error();
    return directory;
}

Snapshot Directory::snapshot() const noexcept { return impl_->get(); }

void Directory::set_listener(std::function<void(const Snapshot&, const Snapshot&)> on_change) {
    impl_->listener = std::move(on_change);
}

Result<bool> Directory::refresh() {
    std::lock_guard lock(impl_->mutation_mutex);
    Snapshot next;
    auto read = impl_->database.read([&](Transaction& transaction) -> Result<void> {
        next.reset();
        if (rows::read_version(transaction) != impl_->get()->version()) next = Impl::load(transaction);
        return {};
    });
    if (!read) return read.error();
    if (!next) return false;
    impl_->publish(std::move(next));
    return true;
}

Result<Account> Directory::create_account(Account account, const std::string& password_hash,
                                          const RecordChange& record) {
    if (auto ok = canonicalize(account); !ok) return ok.error();
    if (auto ok = check_password_hash(password_hash); !ok) return ok.error();
    account.id = base::new_uuid(impl_->clock).to_string();
    account.created_at = account.updated_at = impl_->clock.utc();
    auto ok = impl_->mutate(record, [&](Transaction& transaction, Draft& draft) -> Result<void> {
        if (auto unused = check_username_is_free(draft.accounts, account.username); !unused) return unused;
        if (auto mine = check_numbers(draft.accounts, account); !mine) return mine;
        rows::insert(transaction, account, password_hash);
        draft.accounts.push_back(account);
        draft.changes.push_back({"account.create", "accounts/" + account.username, {}, to_json(account)});
        return {};
    });
    if (!ok) return ok.error();
    return account;
}

Result<Account> Directory::update_account(std::string_view username, const AccountUpdate& update,
                                          const RecordChange& record) {
    return impl_->mutate_account(username, "account.update", record,
                                 [&](Transaction& transaction, const Draft& draft, Account& account) -> Result<bool> {
                                     const Account before = account;
                                     auto next = updated(before, update);
                                     if (!next) return std::move(next).error();
                                     account = std::move(*next);
                                     if (account == before) return false;
                                     if (auto mine = check_numbers(draft.accounts, account); !mine) return mine.error();
                                     account.updated_at = next_update(impl_->clock.utc(), before.updated_at);
                                     rows::update(transaction, account);
                                     return true;
                                 });
}

Result<std::vector<ImportResult>> Directory::import_accounts(const std::vector<ImportedAccount>& rows,
                                                             const std::string& password_hash, bool validate_only,
                                                             const RecordChange& record) {
    if (auto ok = check_password_hash(password_hash); !ok) return ok.error();
    std::vector<ImportResult> results;
    // The same when the transaction is run again, or the acts would go on record twice.
    const auto now = impl_->clock.utc();
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < std::min(rows.size(), import_max); ++i)
        ids.push_back(base::new_uuid(impl_->clock).to_string());
    auto ok = impl_->mutate(record, [&](Transaction& transaction, Draft& draft) -> Result<void> {
        auto plan = plan_import(draft.accounts, rows, now);
        if (!plan) return std::move(plan).error();
        results = std::move(*plan);
        for (std::size_t i = 0; i < results.size() && !validate_only; ++i) {
            auto& result = results[i];
            if (result.outcome == ImportOutcome::refused)
                return {Errc::invalid_argument, "accounts[" + std::to_string(i) + "]." + result.error};
            if (result.outcome == ImportOutcome::created) {
                result.account.id = ids[i];
                rows::insert(transaction, result.account, password_hash);
                draft.accounts.push_back(result.account);
                draft.changes.push_back(
                    {"account.create", "accounts/" + result.account.username, {}, to_json(result.account)});
            } else if (result.outcome == ImportOutcome::updated) {
                auto& account = *std::find_if(draft.accounts.begin(), draft.accounts.end(),
                                              [&](const Account& a) { return a.id == result.account.id; });
                draft.changes.push_back(
                    {"account.update", "accounts/" + account.username, to_json(account), to_json(result.account)});
                account = result.account;
                rows::update(transaction, account);
            }
        }
        return {};
    });
    if (!ok) return ok.error();
    return results;
}

namespace {

/// Whether it is the account that is meant, where that is said.
bool is_meant(const Account& account, std::string_view id) { return id.empty() || account.id == id; }

Error another_account(std::string_view username) {
    return {Errc::not_found, "account '" + std::string(username) + "' is another one by now"};
}

}  // namespace

Result<Account> Directory::set_status(std::string_view username, AccountStatus status, const RecordChange& record,
                                      std::string_view id) {
    const auto* action = status == AccountStatus::disabled ? "account.disable" : "account.enable";
    return impl_->mutate_account(username, action, record,
                                 [&](Transaction& transaction, const Draft&, Account& account) -> Result<bool> {
                                     if (!is_meant(account, id)) return another_account(account.username);
                                     if (account.status == status) return false;
                                     account.status = status;
                                     account.updated_at = next_update(impl_->clock.utc(), account.updated_at);
                                     rows::update(transaction, account);
                                     return true;
                                 });
}

Result<Account> Directory::set_password(std::string_view username, const NewPassword& password,
                                        const RecordChange& record, std::optional<base::UtcTime> unchanged_since) {
    if (auto ok = check_password_hash(password.hash); !ok) return ok.error();
    return impl_->mutate_account(
        username, "account.set-password", record,
        [&](Transaction& transaction, const Draft&, Account& account) -> Result<bool> {
            if (unchanged_since && account.updated_at != *unchanged_since)
                return {Errc::failed_precondition, "account '" + account.username + "' has changed meanwhile"};
            account.must_change_password = password.must_change;
            account.password_is_short = password.is_short;
            account.updated_at = next_update(impl_->clock.utc(), account.updated_at);
            rows::update_password(transaction, account, password.hash);
            return true;
        });
}

Result<void> Directory::rehash_password(std::string_view account_id, const std::string& old_hash,
                                        const std::string& new_hash) {
    if (auto ok = check_password_hash(new_hash); !ok) return ok;
    return impl_->database.transaction([&](Transaction& transaction) -> Result<void> {
        rows::replace_password_hash(transaction, std::string(account_id), old_hash, new_hash);
        return {};
    });
}

Result<void> Directory::delete_account(std::string_view username, const RecordChange& record, std::string_view id) {
    const auto canonical = canonical_username(username);
    return impl_->mutate(record, [&](Transaction& transaction, Draft& draft) -> Result<void> {
        const auto found = std::find_if(draft.accounts.begin(), draft.accounts.end(),
                                        [&](const Account& a) { return canonical && a.username == *canonical; });
        if (found == draft.accounts.end()) return no_account(username, draft);
        if (!is_meant(*found, id)) return another_account(found->username);
        rows::erase_account(transaction, found->id);
        draft.changes.push_back({"account.delete", "accounts/" + found->username, to_json(*found), {}});
        draft.accounts.erase(found);
        return {};
    });
}

Result<Account> Directory::enroll_second_factor(std::string_view username, const NewSecondFactor& factor, bool begun,
                                                const RecordChange& record) {
    return impl_->mutate_account(
        username, "account.enroll-second-factor", record,
        [&](Transaction& transaction, const Draft&, Account& account) -> Result<bool> {
            if (begun && !rows::erase_begun(transaction, account.id, factor.sealed))
                return {Errc::failed_precondition, "the enrolment was finished already, or begun anew"};
            account.second_factor = true;
            account.updated_at = next_update(impl_->clock.utc(), account.updated_at);
            rows::put_second_factor(transaction, account.id, factor.sealed, factor.last_step, factor.recovery,
                                    account.updated_at);
            rows::update_second_factor(transaction, account);
            return true;
        });
}

Result<Account> Directory::reset_second_factor(std::string_view username, const RecordChange& record) {
    return impl_->mutate_account(username, "account.reset-second-factor", record,
                                 [&](Transaction& transaction, const Draft&, Account& account) -> Result<bool> {
                                     if (!account.second_factor) return false;
                                     account.second_factor = false;
                                     account.must_change_password |= account.password_is_short;
                                     account.updated_at = next_update(impl_->clock.utc(), account.updated_at);
                                     rows::erase_second_factor(transaction, account.id);
                                     rows::update_second_factor(transaction, account);
                                     return true;
                                 });
}

Result<Credentials> Directory::credentials(std::string_view account_id) {
    Credentials found;
    auto read = impl_->database.read([&](Transaction& transaction) -> Result<void> {
        found.password_hash = rows::read_password_hash(transaction, std::string(account_id));
        found.second_factor = rows::read_second_factor(transaction, std::string(account_id));
        return {};
    });
    if (!read) return read.error();
    if (found.password_hash.empty()) return {Errc::not_found, "there is no account with the id " + quoted(account_id)};
    return found;
}

Result<std::vector<ApplyOutcome>> Directory::apply(const Resources& resources, const RecordChange& record) {
    const auto canonical = canonicalize(resources, impl_->clock.utc());
    if (!canonical) return canonical.error();
    std::vector<ApplyOutcome> outcomes;
    auto ok = impl_->mutate(record, [&](Transaction& transaction, Draft& draft) -> Result<void> {
        auto put_in = put(draft, *canonical);
        if (!put_in) return put_in.error();
        outcomes = std::move(*put_in);
        // Apps first: a policy may stand before the app that it names. A department may stand before its parent.
        const auto write = [&]<class Kind>(const Kind*) {
            for (std::size_t i = 0; i < canonical->size(); ++i)
                if (const auto* resource = std::get_if<Kind>(&(*canonical)[i]);
                    resource != nullptr && outcomes[i] != ApplyOutcome::unchanged)
                    rows::put(transaction, *resource);
        };
        write(static_cast<const Department*>(nullptr));
        for (const auto& resource : *canonical)
            if (const auto* department = std::get_if<Department>(&resource)) rows::put_parent(transaction, *department);
        write(static_cast<const App*>(nullptr));
        write(static_cast<const Policy*>(nullptr));
        return {};
    });
    if (!ok) return ok.error();
    return outcomes;
}

Result<void> Directory::delete_app(std::string_view name, const RecordChange& record) {
    return impl_->mutate(record, [&](Transaction& transaction, Draft& draft) -> Result<void> {
        const App* app = find_named(draft.apps, std::string(name));
        if (app == nullptr) {
            return {Errc::not_found,
                    "app " + quoted(name) + " does not exist" + suggestion(name, draft.apps, &App::name)};
        }
        for (const auto& policy : draft.policies) {
            if (std::find(policy.apps.begin(), policy.apps.end(), app->name) == policy.apps.end()) continue;
            return {Errc::failed_precondition,
                    "app '" + app->name + "' is named by policy '" + policy.name + "'; change or delete that first"};
        }
        rows::erase_app(transaction, app->name);
        draft.changes.push_back({"app.delete", "apps/" + app->name, to_json(*app), {}});
        draft.apps.erase(draft.apps.begin() + (app - draft.apps.data()));
        return {};
    });
}

Result<void> Directory::delete_policy(std::string_view name, const RecordChange& record) {
    return impl_->mutate(record, [&](Transaction& transaction, Draft& draft) -> Result<void> {
        const Policy* policy = find_named(draft.policies, std::string(name));
        if (policy == nullptr) {
            return {Errc::not_found,
                    "policy " + quoted(name) + " does not exist" + suggestion(name, draft.policies, &Policy::name)};
        }
        rows::erase_policy(transaction, policy->name);
        draft.changes.push_back({"policy.delete", "policies/" + policy->name, to_json(*policy), {}});
        draft.policies.erase(draft.policies.begin() + (policy - draft.policies.data()));
        return {};
    });
}

Result<void> Directory::delete_department(std::string_view code, const RecordChange& record) {
    return impl_->mutate(record, [&](Transaction& transaction, Draft& draft) -> Result<void> {
        const Department* department = find_named(draft.departments, std::string(code));
        if (department == nullptr)
            return {Errc::not_found, "department " + quoted(code) + " does not exist" +
                                         suggestion(code, draft.departments, &Department::code)};
        for (const auto& other : draft.departments)
            if (other.parent == department->code)
                return {Errc::failed_precondition, "department '" + other.code + "' lies in '" + department->code +
                                                       "'; move or delete that first"};
        const auto members = std::count_if(draft.accounts.begin(), draft.accounts.end(),
                                           [&](const Account& a) { return a.department == department->code; });
        if (members > 0)
            return {Errc::failed_precondition, "department '" + department->code + "' has accounts (" +
                                                   std::to_string(members) + "); move them first"};
        rows::erase_department(transaction, department->code);
        draft.changes.push_back({"department.delete", "departments/" + department->code, to_json(*department), {}});
        draft.departments.erase(draft.departments.begin() + (department - draft.departments.data()));
        return {};
    });
}

}  // namespace usher::auth
