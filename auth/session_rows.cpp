#include "auth/session_rows.hpp"

#include <algorithm>
#include <tuple>

#include "auth/row_checks.hpp"
#include "auth/shared_change.hpp"
#include "auth/validate.hpp"
#include "base/ids.hpp"

namespace usher::auth::rows {

using base::Errc;
using base::sql::Blob;
using base::sql::SqlError;
using base::sql::Transaction;

namespace {

std::string text_of(const DeviceKeyHash& hash) { return {hash.begin(), hash.end()}; }

/// False when there is one of another length.
bool read_device_key(const base::sql::Row& row, Session& session) {
    constexpr std::size_t column = 14;
    if (row.is_null(column)) return true;
    const auto& hash = row.blob(column);
    if (hash.size() != sizeof(DeviceKeyHash)) return false;
    std::copy(hash.begin(), hash.end(), session.device_key.emplace().begin());
    return true;
}

/// Of a column and the next one, which has the names. Null where there is none; nullopt when it is malformed.
std::optional<PosturePtr> posture_at(const base::sql::Row& row, std::size_t column) {
    const auto text = row.maybe_text(column);
    if (!text) return PosturePtr();
    // What a program of before has written over keeps the names that were said before; the next report mends it.
    const auto rest = Posture::from_lines(*text), names = Posture::from_lines(row.maybe_text(column + 1).value_or(""));
    if (!rest || !names || *rest != rest->without_names() || *names != names->names()) return std::nullopt;
    auto posture = std::make_shared<Posture>(*rest);
    posture->take_names(*names);
    return posture;
}

const std::string select_sessions =
    "SELECT id, account_id, token_sha256, client_ip, device_id, device_name, device_brand, device_model, device_os, "
    "device_language, created_at, expires_at, last_used_at, second_factor_at, device_key_sha256, posture, "
    "posture_names FROM sessions";

void append(std::vector<std::shared_ptr<Session>>& sessions, const base::sql::Rows& rows) {
    sessions.reserve(sessions.size() + rows.size());
    for (const auto& row : rows) {
        auto session = std::make_shared<Session>();
        session->id = row.text(0);
        session->account_id = row.text(1);
        const auto& hash = row.blob(2);
        session->client_ip = row.text(3);
        session->device = {row.text(4), row.text(5), row.text(6), row.text(7), row.text(8), row.text(9)};
        session->created_at = base::from_micros(row.integer(10));
        session->expires_at = base::from_micros(row.integer(11));
        session->last_used_us = row.integer(12);
        session->stored_last_used_us = row.integer(12);
        session->second_factor_us = row.maybe_integer(13).value_or(0);
        const auto posture = posture_at(row, 15);
        const bool bound = read_device_key(row, *session) && posture;
        if (posture) session->posture.set(*posture);
        const auto id = base::Uuid::parse(session->id);
        const bool times = is_time(row.integer(10)) && is_time(row.integer(11)) && is_time(row.integer(12)) &&
                           is_time(session->second_factor_us.load());
        const bool good = bound && times && id && id->to_string() == session->id &&
                          hash.size() == session->token_sha256.size() && session->created_at < session->expires_at &&
                          check_device(session->device).ok() && check_text("client_ip", session->client_ip).ok();
        if (!good) {
            throw SqlError({Errc::data_loss, "the database's row sessions '" + session->id +
                                                 "' is not valid; it was not written by this program"});
        }
        std::copy(hash.begin(), hash.end(), session->token_sha256.begin());
        sessions.push_back(std::move(session));
    }
}

void sort_oldest_first(std::vector<std::shared_ptr<Session>>& sessions) {
    std::sort(sessions.begin(), sessions.end(), [](const auto& a, const auto& b) {
        return std::tie(a->created_at, a->id) < std::tie(b->created_at, b->id);
    });
}

}  // namespace

std::vector<std::shared_ptr<Session>> read_sessions(Transaction& transaction) {
    std::vector<std::shared_ptr<Session>> sessions;
    append(sessions, transaction.execute(select_sessions));
    sort_oldest_first(sessions);
    return sessions;
}

std::vector<std::shared_ptr<Session>> read_sessions(Transaction& transaction, const std::set<std::string>& ids,
                                                    const std::set<std::string>& accounts) {
    std::vector<std::shared_ptr<Session>> sessions;
    for (const auto& account : accounts)
        append(sessions, transaction.execute(select_sessions + " WHERE account_id = $1", {account}));
    for (const auto& id : ids) append(sessions, transaction.execute(select_sessions + " WHERE id = $1", {id}));
    sort_oldest_first(sessions);
    return sessions;
}

bool is_current(Transaction& transaction, const Account& account) {
    const auto rows = transaction.execute("SELECT status, updated_at FROM accounts WHERE id = $1", {account.id});
    return rows.size() == 1 && rows[0].text(0) == to_word(AccountStatus::active) &&
           rows[0].integer(1) == base::to_micros(account.updated_at);
}

void insert(Transaction& transaction, const Session& session) {
    const std::string hash(session.token_sha256.begin(), session.token_sha256.end());
    const auto& device = session.device;
    transaction.execute(
        "INSERT INTO sessions (id, account_id, token_sha256, client_ip, device_id, device_name, device_brand, "
        "device_model, device_os, device_language, created_at, expires_at, last_used_at, second_factor_at, "
        "device_key_sha256) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        {session.id, session.account_id, Blob{hash}, session.client_ip, device.device_id, device.name, device.brand,
         device.model, device.os, device.language, base::to_micros(session.created_at),
         base::to_micros(session.expires_at), session.last_used_us.load(),
         session.second_factor_us.load() == 0 ? base::sql::Value() : base::sql::Value(session.second_factor_us.load()),
         session.device_key ? base::sql::Value(Blob{text_of(*session.device_key)}) : base::sql::Value()});
    transaction.notify(to_message({ChangeKind::session_begun, session.id}));
}

void erase_session(Transaction& transaction, const std::string& id) {
    transaction.execute("DELETE FROM sessions WHERE id = $1", {id});
    if (transaction.changed_rows() > 0) transaction.notify(to_message({ChangeKind::session_ended, id}));
}

void erase_unused_session(Transaction& transaction, const std::string& id, std::int64_t unused_since_us) {
    transaction.execute("DELETE FROM sessions WHERE id = $1 AND last_used_at <= $2", {id, unused_since_us});
    if (transaction.changed_rows() > 0) transaction.notify(to_message({ChangeKind::session_ended, id}));
}

void erase_sessions_of(Transaction& transaction, const std::string& account_id,
                       std::optional<base::UtcTime> made_until) {
    if (made_until)
        transaction.execute("DELETE FROM sessions WHERE account_id = $1 AND created_at <= $2",
                            {account_id, base::to_micros(*made_until)});
    else
        transaction.execute("DELETE FROM sessions WHERE account_id = $1", {account_id});
    if (transaction.changed_rows() > 0) transaction.notify(to_message({ChangeKind::sessions_of, account_id}));
}

void erase_sessions_of_device(Transaction& transaction, const std::string& account_id,
                              const DeviceKeyHash& device_key) {
    transaction.execute("DELETE FROM sessions WHERE account_id = $1 AND device_key_sha256 = $2",
                        {account_id, Blob{text_of(device_key)}});
    if (transaction.changed_rows() > 0) transaction.notify(to_message({ChangeKind::sessions_of, account_id}));
}

bool update_second_factor(Transaction& transaction, const std::string& id, std::int64_t second_factor_us) {
    transaction.execute("UPDATE sessions SET second_factor_at = $2 WHERE id = $1", {id, second_factor_us});
    if (transaction.changed_rows() != 1) return false;
    transaction.notify(to_message({ChangeKind::session_proved, id}));
    return true;
}

std::optional<PosturePtr> read_posture(Transaction& transaction, const std::string& id) {
    const auto rows = transaction.execute("SELECT posture, posture_names FROM sessions WHERE id = $1", {id});
    if (rows.empty()) return std::nullopt;
    auto posture = posture_at(rows[0], 0);
    // A report in its place mends it.
    return posture ? std::move(*posture) : PosturePtr();
}

bool update_posture(Transaction& transaction, const std::string& id, const Posture& posture) {
    transaction.execute("UPDATE sessions SET posture = $2, posture_names = $3 WHERE id = $1",
                        {id, posture.without_names().to_lines(), posture.names().to_lines()});
    if (transaction.changed_rows() != 1) return false;
    transaction.notify(to_message({ChangeKind::session_proved, id}));
    return true;
}

void update_last_used(Transaction& transaction, const std::string& id, std::int64_t last_used_us) {
    transaction.execute("UPDATE sessions SET last_used_at = $2 WHERE id = $1", {id, last_used_us});
}

}  // namespace usher::auth::rows
