#pragma once
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "auth/sessions.hpp"
#include "base/clock.hpp"
#include "gateway/config.hpp"
#include "gateway/limits/source.hpp"

namespace usher::gateway::limits {

/// How often somebody may ask which apps are theirs, which costs a decision for each app that there is: a session has a
/// burst at once, then so many a minute, and an account `account_factor` times as many over all its sessions. So a
/// program that asks in a loop shuts out its own session first, and an account with many sessions is bounded too.
///
/// A bucket is kept as the moment at which it is full again (the generic cell rate algorithm), and forgotten some time
/// after that. So there are as many as there were sessions and accounts that have asked of late, which are all signed
/// in. Sans-io; thread-safe.
class AppListRates {
public:
    static constexpr unsigned account_factor = 8;

    explicit AppListRates(const Config::Limits& limits)
        : AppListRates(limits.app_lists_burst, limits.app_lists_per_minute) {}
    /// Both at least 1.
    AppListRates(unsigned burst, unsigned per_minute);

    /// Zero, and one of the session and of its account is taken; or how long to wait, and none is.
    base::Microseconds take(const auth::Session& session, base::MonoTime now);

    /// Buckets that are kept.
    std::size_t size() const;

private:
    using Buckets = std::unordered_map<std::string, base::MonoTime, KeyedHash>;  // when they are full again
    static constexpr std::size_t sweep_at_least = 1024;

    void forget_full(base::MonoTime now);

    const base::Microseconds depth_;   ///< from empty to full, of either
    const base::Microseconds refill_;  ///< of one of a session
    mutable std::mutex mutex_;
    Buckets sessions_, accounts_;
    std::size_t sweep_at_ = sweep_at_least;
};

}  // namespace usher::gateway::limits
