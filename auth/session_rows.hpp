#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "auth/sessions.hpp"
#include "base/sql/database.hpp"

/// The table of sessions. Strict when read: data_loss names the row. What begins, ends and is proved is told to the
/// other gateways of the database (shared_change.hpp). Throws base::sql::SqlError; inside a transaction.
namespace usher::auth::rows {

std::vector<std::shared_ptr<Session>> read_sessions(base::sql::Transaction& transaction);  ///< oldest first
/// Those with one of the ids, and those of the accounts; oldest first.
std::vector<std::shared_ptr<Session>> read_sessions(base::sql::Transaction& transaction,
                                                    const std::set<std::string>& ids,
                                                    const std::set<std::string>& accounts);
/// Whether the account is there, active and unchanged.
bool is_current(base::sql::Transaction& transaction, const Account& account);
void insert(base::sql::Transaction& transaction, const Session& session);
void erase_session(base::sql::Transaction& transaction, const std::string& id);
/// Unless it has been used since then, as another gateway knows.
void erase_unused_session(base::sql::Transaction& transaction, const std::string& id, std::int64_t unused_since_us);
void erase_sessions_of(base::sql::Transaction& transaction, const std::string& account_id,
                       std::optional<base::UtcTime> made_until);
void erase_sessions_of_device(base::sql::Transaction& transaction, const std::string& account_id,
                              const DeviceKeyHash& device_key);
/// Whether the row was there.
bool update_second_factor(base::sql::Transaction& transaction, const std::string& id, std::int64_t second_factor_us);
/// What the row has, which may be nothing; nullopt when there is no row.
std::optional<PosturePtr> read_posture(base::sql::Transaction& transaction, const std::string& id);
/// Whether the row was there.
bool update_posture(base::sql::Transaction& transaction, const std::string& id, const Posture& posture);
void update_last_used(base::sql::Transaction& transaction, const std::string& id, std::int64_t last_used_us);

}  // namespace usher::auth::rows
