#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/recovery_code.hpp"
#include "auth/sealing.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/sql/database.hpp"

namespace usher::auth {

/// What the database holds of an account's second factor.
struct StoredSecondFactor {
    Sealed seed;
    std::int64_t last_step = 0;  ///< of the last code that was taken: this one and those before are used up
    base::UtcTime enrolled_at{};
    std::vector<RecoveryHash> recovery{};  ///< of the codes that are left
};

/// What a typed code turned out to be. Nothing is used up by it yet.
struct SecondFactorProof {
    enum class Kind { totp, recovery_code };
    Kind kind = Kind::totp;
    std::int64_t step = 0;             ///< of Kind::totp
    RecoveryHash recovery{};           ///< of Kind::recovery_code
    base::UtcTime enrolled_at{};       ///< of the factor that it is a code of
    std::optional<Sealed> resealed{};  ///< the seed under the current key, where it was under an older one
};

/// A factor that is about to be enrolled: what is shown once, and what is stored.
struct NewSecondFactor {
    base::Secret seed;
    Sealed sealed;
    std::int64_t last_step = 0;  ///< of the code that proved that the app has the seed
    std::vector<base::Secret> recovery_codes;
    std::vector<RecoveryHash> recovery;
};

/// Second factors in the database, their seeds sealed. Enrolling and taking away are acts on an account and belong to
/// Directory. Thread-safe; what has to do with the database blocks.
class SecondFactors {
public:
    SecondFactors(base::sql::Database& database, const base::Clock& clock, SealingKeys keys)
        : database_(database), clock_(clock), keys_(std::move(keys)) {}

    /// A new seed with its recovery codes. Stores nothing.
    NewSecondFactor make(std::string_view account_id) const;

    /// Whether `typed` is a code of the factor that is good now and was not used. The same work is done where there is
    /// no factor, or nothing was typed. failed_precondition or data_loss when the seed cannot be opened. No I/O.
    base::Result<std::optional<SecondFactorProof>> check(std::string_view account_id,
                                                         const std::optional<StoredSecondFactor>& stored,
                                                         const base::Secret& typed) const;

    /// Uses the code up, durably: of many uses of one code at the same time, on any number of gateways that share the
    /// database, one is true. False also when the factor was replaced meanwhile.
    base::Result<bool> use(std::string_view account_id, const SecondFactorProof& proof);

    /// Keeps the seed of a factor that its owner is about to enrol, for ten minutes, in place of an earlier one.
    base::Result<void> begin(std::string_view account_id, const Sealed& sealed);
    /// The begun factor, with new recovery codes, when `code` proves that the app has its seed; nullopt otherwise.
    base::Result<std::optional<NewSecondFactor>> proved(std::string_view account_id, const base::Secret& code) const;

    /// How many seeds are sealed with a key that is not here.
    base::Result<std::int64_t> count_unopenable() const;
    const SealingKeys& keys() const noexcept { return keys_; }

private:
    void add_recovery_codes(NewSecondFactor& factor, std::string_view account_id) const;

    base::sql::Database& database_;
    const base::Clock& clock_;
    const SealingKeys keys_;
};

inline constexpr base::Microseconds enrolment_limit{std::chrono::minutes{10}};

}  // namespace usher::auth
