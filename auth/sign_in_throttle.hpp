#pragma once
#include <cstddef>
#include <memory>
#include <string_view>

#include "base/clock.hpp"

namespace usher::auth {

/// Throttles sign-ins per source (an address as text; IPv6 counts by its /64, and by its
/// /48 at sixteen times the rate) and per account by token buckets: `burst`
/// at once, then one per `refill`. Sans-io. Bounded: a table that is full forgets the bucket that has been full for
/// longest, which loses nothing; when every bucket is in use, new keys are refused. A used bucket is never forgotten,
/// so a flood of other names gives no fresh tries. An attempt costs a token, success gives it back. Thread-safe.
class SignInThrottle {
public:
    struct Limits {
        unsigned burst = 10;
        base::Microseconds refill{6'000'000};
        std::size_t entries = 65536;
    };
    explicit SignInThrottle(Limits per_source, Limits per_account);
    SignInThrottle() : SignInThrottle(Limits{30, base::Microseconds{2'000'000}, 65536}, Limits{}) {}
    ~SignInThrottle();
    SignInThrottle(const SignInThrottle&) = delete;
    SignInThrottle& operator=(const SignInThrottle&) = delete;

    /// True and a token of each taken, or false, none taken, and how long to wait.
    struct Verdict {
        bool allowed;
        base::Microseconds retry_after;
    };
    Verdict take(std::string_view source, std::string_view canonical_username, base::MonoTime now);
    void give_back(std::string_view source, std::string_view canonical_username, base::MonoTime now);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace usher::auth
