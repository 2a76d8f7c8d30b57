#pragma once
#include <optional>
#include <string>
#include <vector>

#include "auth/model.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

/// Changes of accounts, one or many at a time. Pure.
namespace usher::auth {

inline constexpr std::size_t import_max = 1000;  ///< rows of one import

/// What is to be changed of an account; the rest stays.
struct AccountUpdate {
    std::optional<std::string> display_name{}, department{}, office_mail{}, office_phone{}, employee_number{}, source{},
        outside_id{};
    std::optional<std::vector<std::string>> groups{};
    std::optional<Role> role{};
    /// Set: the new value, which may be none.
    std::optional<std::optional<base::UtcTime>> valid_from{}, valid_until{};
};

/// The account with the update, in canonical form, its times unchanged; or what is wrong with it.
base::Result<Account> updated(const Account& before, const AccountUpdate& update);

/// Times of an account only go up, also when the clock stands still or steps back, so that "as it was when I read it"
/// can be told from its updated_at.
inline base::UtcTime next_update(base::UtcTime now, base::UtcTime last) {
    return now > last ? now : last + base::Microseconds{1};
}

/// Nobody has this canonical username, nor one that looks like it: already_exists.
base::Result<void> check_username_is_free(const std::vector<Account>& accounts, const std::string& username);
/// Nobody else has the account's employee number, nor its outside id of the same source: already_exists,
/// "employee_number: ..." or "outside_id: ...".
base::Result<void> check_numbers(const std::vector<Account>& accounts, const Account& account);

/// One row of an import: an account by its username as typed, and what the row says of it.
struct ImportedAccount {
    std::string username;
    AccountUpdate fields;
};

enum class ImportOutcome { created, updated, unchanged, refused };

struct ImportResult {
    ImportOutcome outcome = ImportOutcome::refused;
    Account account{};                   ///< as it is to be; of created without an id. Not of refused
    std::vector<std::string> changed{};  ///< of updated: the fields' names
    std::string error{};                 ///< of refused: "field: why"
};

/// What the rows, one after the other, make of the accounts: who is not there is created (active, to change the
/// password), who is there is changed where the row says otherwise. One result per row; a refused row does not stop
/// those behind it. invalid_argument when there are more than import_max rows.
base::Result<std::vector<ImportResult>> plan_import(const std::vector<Account>& accounts,
                                                    const std::vector<ImportedAccount>& rows, base::UtcTime now);

}  // namespace usher::auth
