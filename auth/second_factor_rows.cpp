#include "auth/second_factor_rows.hpp"

#include <algorithm>

#include "auth/row_checks.hpp"

namespace usher::auth::rows {

using base::sql::Blob;
using base::sql::Transaction;

namespace {

constexpr std::size_t recovery_rows_max = 100;

std::string text_of(const RecoveryHash& hash) { return {hash.begin(), hash.end()}; }

}  // namespace

std::optional<StoredSecondFactor> read_second_factor(Transaction& transaction, const std::string& account_id) {
    const auto rows = transaction.execute(
        "SELECT key_id, sealed_seed, last_step, enrolled_at FROM second_factors WHERE account_id = $1", {account_id});
    // Asked in any case: whether there is a factor must not show in the time of an answer.
    const auto codes =
        transaction.execute("SELECT code_sha256 FROM recovery_codes WHERE account_id = $1", {account_id});
    if (rows.empty()) return std::nullopt;
    StoredSecondFactor stored{
        {rows[0].text(0), rows[0].blob(1)}, rows[0].integer(2), base::from_micros(rows[0].integer(3)), {}};
    if (codes.size() > recovery_rows_max) corrupt("recovery_codes", account_id, "has more codes than are ever made");
    for (const auto& row : codes) {
        RecoveryHash hash;
        if (row.blob(0).size() != hash.size()) corrupt("recovery_codes", account_id, "has a hash of another length");
        std::copy(row.blob(0).begin(), row.blob(0).end(), hash.begin());
        stored.recovery.push_back(hash);
    }
    return stored;
}

void put_second_factor(Transaction& transaction, const std::string& account_id, const Sealed& seed,
                       std::int64_t last_step, const std::vector<RecoveryHash>& recovery, base::UtcTime now) {
    erase_second_factor(transaction, account_id);
    transaction.execute(
        "INSERT INTO second_factors (account_id, key_id, sealed_seed, last_step, enrolled_at) "
        "VALUES ($1, $2, $3, $4, $5)",
        {account_id, seed.key_id, Blob{seed.bytes}, last_step, base::to_micros(now)});
    for (const auto& hash : recovery)
        transaction.execute("INSERT INTO recovery_codes (account_id, code_sha256) VALUES ($1, $2)",
                            {account_id, Blob{text_of(hash)}});
}

void erase_second_factor(Transaction& transaction, const std::string& account_id) {
    transaction.execute("DELETE FROM second_factor_enrolments WHERE account_id = $1", {account_id});
    transaction.execute("DELETE FROM second_factors WHERE account_id = $1", {account_id});
}

bool use_second_factor(Transaction& transaction, const std::string& account_id, const SecondFactorProof& proof) {
    const auto enrolled_at = base::to_micros(proof.enrolled_at);
    if (proof.kind == SecondFactorProof::Kind::recovery_code) {
        transaction.execute(
            "DELETE FROM recovery_codes WHERE account_id = $1 AND code_sha256 = $2 AND EXISTS "
            "(SELECT 1 FROM second_factors WHERE account_id = $1 AND enrolled_at = $3)",
            {account_id, Blob{text_of(proof.recovery)}, enrolled_at});
        return transaction.changed_rows() == 1;
    }
    transaction.execute(
        "UPDATE second_factors SET last_step = $2 WHERE account_id = $1 AND last_step < $2 AND enrolled_at = $3",
        {account_id, proof.step, enrolled_at});
    if (transaction.changed_rows() != 1) return false;
    if (proof.resealed)
        transaction.execute("UPDATE second_factors SET key_id = $2, sealed_seed = $3 WHERE account_id = $1",
                            {account_id, proof.resealed->key_id, Blob{proof.resealed->bytes}});
    return true;
}

void put_begun(Transaction& transaction, const std::string& account_id, const Sealed& seed, base::UtcTime expires_at) {
    transaction.execute("DELETE FROM second_factor_enrolments WHERE account_id = $1", {account_id});
    transaction.execute(
        "INSERT INTO second_factor_enrolments (account_id, key_id, sealed_seed, expires_at) VALUES ($1, $2, $3, $4)",
        {account_id, seed.key_id, Blob{seed.bytes}, base::to_micros(expires_at)});
}

std::optional<Sealed> read_begun(Transaction& transaction, const std::string& account_id, base::UtcTime now) {
    const auto rows = transaction.execute(
        "SELECT key_id, sealed_seed FROM second_factor_enrolments WHERE account_id = $1 AND expires_at > $2",
        {account_id, base::to_micros(now)});
    if (rows.empty()) return std::nullopt;
    return Sealed{rows[0].text(0), rows[0].blob(1)};
}

bool erase_begun(Transaction& transaction, const std::string& account_id, const Sealed& seed) {
    transaction.execute("DELETE FROM second_factor_enrolments WHERE account_id = $1 AND sealed_seed = $2",
                        {account_id, Blob{seed.bytes}});
    return transaction.changed_rows() == 1;
}

std::vector<std::pair<std::string, std::int64_t>> count_by_key(Transaction& transaction) {
    std::vector<std::pair<std::string, std::int64_t>> out;
    for (const auto& row : transaction.execute("SELECT key_id, COUNT(*) FROM second_factors GROUP BY key_id"))
        out.emplace_back(row.text(0), row.integer(1));
    return out;
}

}  // namespace usher::auth::rows
