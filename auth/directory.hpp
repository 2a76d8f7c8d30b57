#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "auth/account_import.hpp"
#include "auth/department_tree.hpp"
#include "auth/model.hpp"
#include "auth/rule_index.hpp"
#include "auth/second_factor.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/sql/database.hpp"

namespace usher::auth {

/// The directory at one moment: accounts, apps, policies and departments. Immutable; shared by all threads.
class DirectorySnapshot {
public:
    DirectorySnapshot() = default;
    DirectorySnapshot(const DirectorySnapshot&) = delete;  ///< the indexes point into the object itself
    DirectorySnapshot& operator=(const DirectorySnapshot&) = delete;
    /// Builds the indexes. `version` grows by one with each change that was committed.
    DirectorySnapshot(std::uint64_t version, std::vector<Account> accounts, std::vector<App> apps,
                      std::vector<Policy> policies, std::vector<Department> departments = {});

    std::uint64_t version() const noexcept { return version_; }
    const Account* account_by_id(std::string_view id) const noexcept;
    const Account* account_by_username(std::string_view canonical_username) const noexcept;
    const App* app(std::string_view name) const noexcept;
    const Policy* policy(std::string_view name) const noexcept;
    /// The app that `destination` belongs to: an exact name beats a wildcard, a longer wildcard a shorter one, a longer
    /// block prefix a shorter one, fewer ports more ports, then the app's name in byte order. A name never matches a
    /// block. Names at or below "usher.internal" belong to no app, whatever a wildcard says.
    const App* find_app(const base::Destination& destination) const noexcept;
    /// The policies that name the app, in name order.
    const std::vector<const Policy*>& policies_of(std::string_view app) const noexcept;
    /// Their rules: all that deny, then all that allow, each in the order of the policies.
    const RuleIndex& rules_of(std::string_view app) const noexcept;

    const std::vector<Account>& accounts() const noexcept { return accounts_; }  ///< by username
    const std::vector<App>& apps() const noexcept { return apps_; }              ///< by name
    const std::vector<Policy>& policies() const noexcept { return policies_; }   ///< by name

    const std::vector<Department>& departments() const noexcept { return departments_; }  ///< by code
    const Department* department(std::string_view code) const noexcept;
    const DepartmentTree& department_tree() const noexcept { return department_tree_; }

    /// When an account's validity begins or ends, rising.
    const std::vector<base::UtcTime>& validity_changes() const noexcept { return validity_changes_; }
    bool has_time_windows() const noexcept { return has_time_windows_; }    ///< in a rule of any policy
    bool has_posture_tests() const noexcept { return has_posture_tests_; }  ///< in a rule of any policy
    /// The shortest age of a second factor that any rule asks for: a session whose factor is older is judged anew.
    std::optional<base::Microseconds> shortest_mfa_within() const noexcept { return shortest_mfa_within_; }
    /// After how long a loss of control the accesses of some app are closed, rising.
    const std::vector<base::Microseconds>& closing_control_losses() const noexcept { return closing_control_losses_; }

private:
    std::uint64_t version_ = 0;
    std::vector<Account> accounts_;
    std::vector<App> apps_;
    std::vector<Policy> policies_;
    std::vector<Department> departments_;
    DepartmentTree department_tree_;
    std::unordered_map<std::string_view, const Account*> by_id_, by_username_;
    std::unordered_map<std::string_view, std::vector<const Policy*>> policies_of_;
    std::unordered_map<std::string_view, RuleIndex> rules_of_;
    std::map<std::string_view, const App*> apps_by_name_;

    struct Claim {
        const App* app;
        const DestinationPattern* pattern;
    };
    /// The blocks of one prefix length, by network, then best claim first: a look-up is a binary search for each
    /// length.
    struct BlockGroup {
        unsigned prefix_bits;
        std::vector<Claim> claims;
    };
    std::unordered_map<std::string_view, std::vector<Claim>> exact_, wildcard_;  ///< each list best first
    std::vector<BlockGroup> blocks_;                                             ///< longest prefix first
    std::vector<base::UtcTime> validity_changes_;
    bool has_time_windows_ = false, has_posture_tests_ = false;
    std::optional<base::Microseconds> shortest_mfa_within_{};
    std::vector<base::Microseconds> closing_control_losses_;
    static const App* first_match(const std::vector<Claim>& claims, const base::Destination& destination) noexcept;
};
using Snapshot = std::shared_ptr<const DirectorySnapshot>;

/// A change that is about to be committed, for the audit. JSON without secrets; `before` or `after` is empty where
/// there is none.
struct Change {
    std::string action;    ///< "account.create", "account.update", "account.disable", "account.set-password",
                           ///< "account.enroll-second-factor", "account.reset-second-factor",
                           ///< "app.apply", "app.delete" ...
    std::string resource;  ///< "accounts/alice"
    std::string before_json, after_json;
    friend bool operator==(const Change&, const Change&) = default;
};
/// Called inside the transaction before COMMIT, once per change; an error aborts the transaction. So an act is on
/// record before it is in force.
using RecordChange = std::function<base::Result<void>(const Change&)>;

struct NewPassword {
    std::string hash;
    bool is_short = false;     ///< see needs_second_factor()
    bool must_change = false;  ///< at the next sign-in
};

/// What a sign-in is checked against.
struct Credentials {
    std::string password_hash;
    std::optional<StoredSecondFactor> second_factor;
};

using Resource = std::variant<App, Policy, Department>;
using Resources = std::vector<Resource>;
enum class ApplyOutcome { created, updated, unchanged };

/// The directory in the database and its snapshot in memory. Mutations block (database) and are serialized; snapshot()
/// is cheap and thread-safe. All texts are validated here: lengths, UTF-8, no control characters; errors name the
/// field.
class Directory {
public:
    static std::span<const base::sql::Migration> migrations();  ///< numbers 1 to 99

    static base::Result<std::unique_ptr<Directory>> open(base::sql::Database& database, const base::Clock& clock);

    Snapshot snapshot() const noexcept;

    /// `on_change` is called after each commit, with the new snapshot in place, on the thread of the mutation; the
    /// mutation returns when it has returned. What a call has as `after` the next one has as `before`. Set once, before
    /// the first mutation. It must not mutate the directory.
    void set_listener(std::function<void(const Snapshot& before, const Snapshot& after)> on_change);

    /// Reads the directory again when the database holds another version than the snapshot, as another gateway makes
    /// it, or a commit whose answer was lost; then calls the listener. Returns whether it did. For a poll every second
    /// or so.
    base::Result<bool> refresh();

    // A mutation that changes nothing (the same status again) succeeds without a record, a version or a call of the
    // listener. When an error says "commit unknown", whether it is in force is known after the next refresh().

    /// The id and the times are set here. The username is brought into canonical form, groups are sorted.
    base::Result<Account> create_account(Account account, const std::string& password_hash, const RecordChange& record);
    base::Result<Account> update_account(std::string_view username, const AccountUpdate& update,
                                         const RecordChange& record);
    /// `id`, here and in delete_account(): of the account that is meant; not_found when the name is another one's by
    /// now.
    base::Result<Account> set_status(std::string_view username, AccountStatus status, const RecordChange& record,
                                     std::string_view id = {});
    /// `unchanged_since`: the account's updated_at when the password that it had was verified; failed_precondition when
    /// it has changed since.
    base::Result<Account> set_password(std::string_view username, const NewPassword& password,
                                       const RecordChange& record,
                                       std::optional<base::UtcTime> unchanged_since = std::nullopt);
    /// The same password under a better hash, unless another one was set meanwhile. No change of the account.
    base::Result<void> rehash_password(std::string_view account_id, const std::string& old_hash,
                                       const std::string& new_hash);
    /// Creates and changes many accounts, all or none: see plan_import(). Refused by the first row that cannot be
    /// ("accounts[N].field: "), unless `validate_only`: then nothing is changed or recorded, and the results tell every
    /// row. New accounts get `password_hash`, which fits no password, and must change theirs: each needs
    /// set_password() before it can sign in. At most import_max rows.
    base::Result<std::vector<ImportResult>> import_accounts(const std::vector<ImportedAccount>& rows,
                                                            const std::string& password_hash, bool validate_only,
                                                            const RecordChange& record);
    /// Also deletes its sessions' rows.
    base::Result<void> delete_account(std::string_view username, const RecordChange& record, std::string_view id = {});
    /// Puts a second factor in place of what the account has. `begun`: its seed was begun by SecondFactors::begin(),
    /// and failed_precondition when that is no longer there, so that of two who finish it one does.
    base::Result<Account> enroll_second_factor(std::string_view username, const NewSecondFactor& factor, bool begun,
                                               const RecordChange& record);
    /// Takes the second factor and its recovery codes away. A password that was enough only beside it has to be changed
    /// at the next sign-in.
    base::Result<Account> reset_second_factor(std::string_view username, const RecordChange& record);

    /// What is stored, or not_found, with the same questions to the database in either case. Sign-in is rare.
    base::Result<Credentials> credentials(std::string_view account_id);

    /// All or none. Errors begin with "resources[N].field: ". A policy may name an app of the same call, in any order,
    /// and a department may lie in one of the same call.
    /// What the policies expect (check_expectations) must hold after it.
    base::Result<std::vector<ApplyOutcome>> apply(const Resources& resources, const RecordChange& record);
    base::Result<void> delete_app(std::string_view name, const RecordChange& record);
    base::Result<void> delete_policy(std::string_view name, const RecordChange& record);
    /// failed_precondition while an account has it, or a department lies in it.
    base::Result<void> delete_department(std::string_view code, const RecordChange& record);

    ~Directory();

private:
    Directory(base::sql::Database& database, const base::Clock& clock);
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// App names that the gateway answers itself and that no resource may take; destinations below "usher.internal"
/// likewise.
inline constexpr std::string_view control_app_name = "usher-control";
inline constexpr std::string_view control_app_host = "control.usher.internal";

}  // namespace usher::auth
