#include "auth/policy_replay.hpp"

#include <algorithm>

namespace usher::auth {

namespace {

bool is_about_sessions(const Rule& rule) noexcept { return !rule.devices.empty() || rule.mfa_within; }
bool is_about_posture(const Rule& rule) noexcept { return !rule.posture.empty(); }

/// The account as it was, as far as that is known.
Account as_it_was(const Account& now, std::string_view department) {
    Account account = now;
    account.department = department;
    account.status = AccountStatus::active;
    account.valid_from.reset();
    account.valid_until.reset();
    return account;
}

}  // namespace

PolicyReplay::PolicyReplay(const DirectorySnapshot& directory) : directory_(directory) {
    for (const auto& policy : directory.policies()) {
        const auto has = [&](auto is_about) {
            return std::any_of(policy.allow.begin(), policy.allow.end(), is_about) ||
                   std::any_of(policy.deny.begin(), policy.deny.end(), is_about);
        };
        if (has(is_about_sessions)) about_sessions_.insert(policy.apps.begin(), policy.apps.end());
        if (has(is_about_posture)) about_posture_.insert(policy.apps.begin(), policy.apps.end());
    }
}

PolicyReplay::Judgement PolicyReplay::judge(const RecordedAttempt& attempt) const {
    Judgement judgement;
    judgement.decision.policy_version = directory_.version();
    judgement.app = directory_.find_app(attempt.destination);
    if (judgement.app == nullptr) return judgement;
    const Account* account = directory_.account_by_id(attempt.account_id);
    if (account == nullptr) {
        judgement.outcome = Outcome::account_gone;
        return judgement;
    }
    if ((!attempt.session_known && about_sessions_.count(judgement.app->name) != 0) ||
        (!attempt.posture_known && about_posture_.count(judgement.app->name) != 0)) {
        judgement.outcome = Outcome::session_not_on_record;
        return judgement;
    }
    judgement.account_changed = attempt.context.time && account->updated_at > *attempt.context.time;
    const bool as_now =
        account->department == attempt.department && standing(*account, attempt.context.time) == Standing::good;
    judgement.decision =
        as_now ? decide(directory_, *account, *judgement.app, attempt.context)
               : decide(directory_, as_it_was(*account, attempt.department), *judgement.app, attempt.context);
    return judgement;
}

}  // namespace usher::auth
