#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "auth/second_factor.hpp"
#include "base/sql/database.hpp"

/// The tables of second factors. Strict when read: data_loss names the row. Throws base::sql::SqlError; inside a
/// transaction.
namespace usher::auth::rows {

std::optional<StoredSecondFactor> read_second_factor(base::sql::Transaction& transaction,
                                                     const std::string& account_id);
/// Replaces what the account has, and what was begun for it.
void put_second_factor(base::sql::Transaction& transaction, const std::string& account_id, const Sealed& seed,
                       std::int64_t last_step, const std::vector<RecoveryHash>& recovery, base::UtcTime now);
void erase_second_factor(base::sql::Transaction& transaction, const std::string& account_id);

/// True for the one caller that moves the last step forward to this one, or takes the recovery code away.
bool use_second_factor(base::sql::Transaction& transaction, const std::string& account_id,
                       const SecondFactorProof& proof);

void put_begun(base::sql::Transaction& transaction, const std::string& account_id, const Sealed& seed,
               base::UtcTime expires_at);
std::optional<Sealed> read_begun(base::sql::Transaction& transaction, const std::string& account_id, base::UtcTime now);
/// Whether exactly this one was there.
bool erase_begun(base::sql::Transaction& transaction, const std::string& account_id, const Sealed& seed);

/// The key of each stored seed, and how many have it.
std::vector<std::pair<std::string, std::int64_t>> count_by_key(base::sql::Transaction& transaction);

}  // namespace usher::auth::rows
