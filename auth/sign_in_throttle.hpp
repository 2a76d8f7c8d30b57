#pragma once
#include <cstddef>
#include <memory>
#include <string_view>

#include "base/clock.hpp"

namespace usher::auth {

/// Throttles sign-ins by token buckets: per source (an address as text; IPv6 counts by its /64, and by its /48 at
/// sixteen times the rate), per account, and per account at a source: `burst` at once, then one per `refill`, or with
/// waits that double up to `wait_max` while nothing succeeds. Where an account is known at a source (it is signed in
/// from there), its tries elsewhere do not count. Sans-io. Bounded: a table that is full forgets the bucket that has
/// been full for longest; when every bucket is in use, new keys are refused. A used bucket is never forgotten, so a
/// flood of other names gives no fresh tries. An attempt costs a token, success gives it back. Thread-safe.
///
/// A source that has no token is refused. A name that has used its own up is not told so: its try is to be looked at
/// like any other and to fail whatever is right, for which a source has buckets of their own, as large as those above.
class SignInThrottle {
public:
    struct Limits {
        unsigned burst = 10;
        base::Microseconds refill{6'000'000};
        std::size_t entries = 65536;
        base::Microseconds wait_max{0};  ///< up to refill: the waits do not grow
    };
    /// An account's own waits grow where they are caused and not elsewhere, so that whoever tries passwords shuts out
    /// themselves. The account's rate over all sources bounds who has many of them.
    static constexpr Limits at_source{10, base::Microseconds{6'000'000}, 65536,
                                      std::chrono::duration_cast<base::Microseconds>(std::chrono::minutes{15})};
    static constexpr Limits over_all_sources{30, base::Microseconds{6'000'000}, 65536, base::Microseconds{0}};
    /// Of codes of a second factor, which only who has proved the password can try: with a million of them, and three
    /// good at a time, far from enough for a guess.
    static constexpr Limits codes{5, base::Microseconds{60'000'000}, 65536,
                                  std::chrono::duration_cast<base::Microseconds>(std::chrono::hours{1})};

    /// Of certificates for devices, each of which costs a signature and a change of the database.
    static constexpr Limits certificates{10, base::Microseconds{60'000'000}, 65536, base::Microseconds{0}};

    explicit SignInThrottle(Limits per_source, Limits per_account = over_all_sources,
                            Limits per_account_at_source = at_source, Limits per_code = codes);
    SignInThrottle() : SignInThrottle(Limits{30, base::Microseconds{2'000'000}, 65536, base::Microseconds{0}}) {}
    ~SignInThrottle();
    SignInThrottle(const SignInThrottle&) = delete;
    SignInThrottle& operator=(const SignInThrottle&) = delete;

    /// True and a token of each taken, or false, none taken, and how long to wait.
    struct Verdict {
        bool allowed;
        base::Microseconds retry_after;
        /// Of a try that is allowed: whoever has less goes first where there is no room for all, since a flood has many
        /// tries in vain behind it, and those whom it would keep out have few. 0 for a source where somebody has
        /// signed in within 30 days (the last 65,536 such sources), up to `burst` tries in vain since then, those under
        /// way among them; then one for each more. For any other source one, and one for each try in vain, or for
        /// sixteen of its /48; four that were not looked at count for one. It says nothing of the account. Behind all
        /// others where the try must fail.
        unsigned rank = 0;
        /// Of a try that is allowed: the name has used its tokens up. Only one of its source for such tries was taken,
        /// and `retry_after` is the name's wait.
        bool must_fail = false;
    };
    /// Who tries. The texts must outlive the call.
    struct Try {
        std::string_view source, canonical_username;
        bool known_here = false;
        bool must_fail = false;  ///< for give_back(): what take() said
    };
    Verdict take(const Try& attempt, base::MonoTime now);
    /// The attempt was not looked at, or is none to guess with: as if it had not been, but for the rank.
    void give_back(const Try& attempt, base::MonoTime now);
    /// The attempt succeeded: its token comes back, the waits of the account at the source and of its codes begin anew,
    /// and so does what was in vain at the source; of what was in its /48 half is forgotten.
    void succeeded(const Try& attempt, base::MonoTime now);
    /// Somebody had signed in from the source at that moment, before this process or elsewhere: it counts for the rank.
    void signed_in_before(std::string_view source, base::MonoTime at);
    /// As take(), for a code of the account's second factor.
    bool take_code(std::string_view canonical_username, base::MonoTime now);
    /// As take(), for a certificate for another device of the account, or for the device that renews its own. It does
    /// not come back.
    Verdict take_certificate(std::string_view account_or_device_id, base::MonoTime now);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace usher::auth
