#include "auth/second_factor.hpp"

#include <sodium.h>

#include "auth/second_factor_rows.hpp"
#include "auth/totp.hpp"

namespace usher::auth {
namespace {

using base::Result;
using base::sql::Transaction;

std::string context_of(std::string_view account_id) { return "totp-seed " + std::string(account_id); }

}  // namespace

void SecondFactors::add_recovery_codes(NewSecondFactor& factor, std::string_view account_id) const {
    for (std::size_t i = 0; i < recovery_codes_each; ++i) {
        auto code = make_recovery_code();
        const auto canonical = canonical_recovery_code(code.reveal());
        factor.recovery.push_back(recovery_hash(account_id, canonical.value()));
        factor.recovery_codes.push_back(std::move(code));
    }
}

NewSecondFactor SecondFactors::make(std::string_view account_id) const {
    NewSecondFactor made;
    made.seed = make_totp_seed();
    made.sealed = keys_.seal(made.seed, context_of(account_id));
    add_recovery_codes(made, account_id);
    return made;
}

Result<std::optional<SecondFactorProof>> SecondFactors::check(std::string_view account_id,
                                                              const std::optional<StoredSecondFactor>& stored,
                                                              const base::Secret& typed) const {
    using Checked = std::optional<SecondFactorProof>;
    base::Secret seed;
    if (stored) {
        auto opened = keys_.open(stored->seed, context_of(account_id));
        if (!opened) return std::move(opened).error();
        seed = std::move(*opened);
    } else {
        seed = make_totp_seed();
    }
    const auto step = match_totp(seed, typed.reveal(), clock_.utc());
    const auto recovery = canonical_recovery_code(typed.reveal());
    if (!stored) return Checked{};
    if (step && *step > stored->last_step) {
        SecondFactorProof proof;
        proof.step = *step;
        proof.enrolled_at = stored->enrolled_at;
        if (stored->seed.key_id != keys_.current_id()) proof.resealed = keys_.seal(seed, context_of(account_id));
        return Checked(std::move(proof));
    }
    if (!recovery) return Checked{};
    const auto hash = recovery_hash(account_id, *recovery);
    bool found = false;
    for (const auto& left : stored->recovery) found |= sodium_memcmp(left.data(), hash.data(), hash.size()) == 0;
    if (!found) return Checked{};
    SecondFactorProof proof;
    proof.kind = SecondFactorProof::Kind::recovery_code;
    proof.recovery = hash;
    proof.enrolled_at = stored->enrolled_at;
    return Checked(std::move(proof));
}

Result<bool> SecondFactors::use(std::string_view account_id, const SecondFactorProof& proof) {
    bool used = false;
    auto done = database_.transaction([&](Transaction& transaction) -> Result<void> {
        used = rows::use_second_factor(transaction, std::string(account_id), proof);
        return {};
    });
    if (!done) return done.error();
    return used;
}

Result<void> SecondFactors::begin(std::string_view account_id, const Sealed& sealed) {
    return database_.transaction([&](Transaction& transaction) -> Result<void> {
        rows::put_begun(transaction, std::string(account_id), sealed, clock_.utc() + enrolment_limit);
        return {};
    });
}

Result<std::optional<NewSecondFactor>> SecondFactors::proved(std::string_view account_id,
                                                             const base::Secret& code) const {
    using Proved = std::optional<NewSecondFactor>;
    std::optional<Sealed> begun;
    auto read = database_.read([&](Transaction& transaction) -> Result<void> {
        begun = rows::read_begun(transaction, std::string(account_id), clock_.utc());
        return {};
    });
    if (!read) return read.error();
    if (!begun) return Proved{};
    auto seed = keys_.open(*begun, context_of(account_id));
    if (!seed) return std::move(seed).error();
    const auto step = match_totp(*seed, code.reveal(), clock_.utc());
    if (!step) return Proved{};
    NewSecondFactor factor;
    factor.seed = std::move(*seed);
    factor.sealed = std::move(*begun);
    factor.last_step = *step;
    add_recovery_codes(factor, account_id);
    return Proved(std::move(factor));
}

Result<std::int64_t> SecondFactors::count_unopenable() const {
    std::int64_t count = 0;
    auto read = database_.read([&](Transaction& transaction) -> Result<void> {
        count = 0;
        for (const auto& [key_id, seeds] : rows::count_by_key(transaction))
            if (!keys_.has(key_id)) count += seeds;
        return {};
    });
    if (!read) return read.error();
    return count;
}

}  // namespace usher::auth
