#include "gateway/limits/app_list_rates.hpp"

#include <algorithm>
#include <cassert>

namespace usher::gateway::limits {

AppListRates::AppListRates(unsigned burst, unsigned per_minute)
    : depth_(base::Microseconds{60'000'000} * burst / per_minute),
      refill_(base::Microseconds{60'000'000} / per_minute) {
    assert(burst >= 1 && per_minute >= 1);
}

base::Microseconds AppListRates::take(const auth::Session& session, base::MonoTime now) {
    const std::lock_guard lock(mutex_);
    if (sessions_.size() + accounts_.size() >= sweep_at_) forget_full(now);
    // Both entries first, for either may throw for want of memory; one that is full is as good as none.
    auto& of_session = sessions_.try_emplace(session.id, now).first->second;
    auto& of_account = accounts_.try_emplace(session.account_id, now).first->second;
    const auto session_next = std::max(of_session, now) + refill_;
    const auto account_next = std::max(of_account, now) + refill_ / account_factor;
    const auto wait = std::max(session_next, account_next) - now - depth_;
    if (wait > base::Microseconds{0}) return wait;
    of_session = session_next;
    of_account = account_next;
    return base::Microseconds{0};
}

void AppListRates::forget_full(base::MonoTime now) {
    const auto full = [now](const Buckets::value_type& bucket) { return bucket.second <= now; };
    std::erase_if(sessions_, full);
    std::erase_if(accounts_, full);
    // As many again may come before the next look at all of them.
    sweep_at_ = std::max(sweep_at_least, 2 * (sessions_.size() + accounts_.size()));
}

std::size_t AppListRates::size() const {
    const std::lock_guard lock(mutex_);
    return sessions_.size() + accounts_.size();
}

}  // namespace usher::gateway::limits
