#include "auth/sign_in_throttle.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/net.hpp"

namespace usher::auth {
namespace {

using base::Microseconds;
using base::MonoTime;

/// Longer keys are cut; addresses and usernames are shorter.
constexpr std::size_t key_bytes_max = 128;

/// Waits that have grown are remembered for so long after the last try.
constexpr Microseconds growth_memory = std::chrono::hours{24};
constexpr unsigned doublings_max = 20;
/// A try that was not looked at counts a quarter of one that was in vain: whoever comes again and again while there is
/// no room stands behind whoever comes for the first time.
constexpr unsigned in_vain_parts = 4;
/// More tries in vain than these make no worse.
constexpr unsigned in_vain_max = 10'000 * in_vain_parts;
/// So many cost a source nothing where somebody has signed in, however large the burst is.
constexpr unsigned free_max = 1000;

/// How many times the rate of one source a /48 of IPv6 has, whose /64s one attacker may hold by the thousand.
constexpr unsigned wide_factor = 16;

/// One customer of a provider holds a whole /64 of IPv6, an organisation a whole /48 (RFC 6177), so each is one source.
/// An IPv4 address, and a text that is no address, is a source by itself, and has no wide one.
struct SourceKeys {
    std::string narrow, wide;
};
SourceKeys source_keys(std::string_view source) {
    auto address = base::IpAddress::parse(source);
    if (!address) return {std::string(source.substr(0, key_bytes_max)), {}};
    if (address->is_v4()) return {address->to_string(), {}};
    SourceKeys keys;
    std::fill(address->bytes.begin() + 8, address->bytes.end(), std::uint8_t{0});
    keys.narrow = address->to_string();
    std::fill(address->bytes.begin() + 6, address->bytes.end(), std::uint8_t{0});
    keys.wide = address->to_string();
    return keys;
}

SignInThrottle::Limits wider(SignInThrottle::Limits limits) {
    limits.burst *= wide_factor;
    limits.refill /= wide_factor;
    return limits;
}

/// Buckets by key. A bucket is held as the moment at which it is full again (the generic cell rate algorithm), so it
/// needs no timer to refill.
class Buckets {
public:
    explicit Buckets(SignInThrottle::Limits limits) : limits_(limits) {}

    unsigned burst() const noexcept { return limits_.burst; }

    /// How long until a token is there; zero: now.
    Microseconds wait(const std::string& key, MonoTime now) const {
        const auto found = buckets_.find(key);
        if (found == buckets_.end()) {
            if (buckets_.size() < limits_.entries || by_time_.empty()) return Microseconds{0};
            return std::max(Microseconds{0}, by_time_.begin()->first - now);
        }
        const auto depth = limits_.refill * std::max(1u, limits_.burst);
        return std::max(Microseconds{0}, std::max(found->second.full_at, now) - now + limits_.refill - depth);
    }

    /// Whether there is a wait because of what was taken from the key, and not because the table has no place for it.
    bool used_up(const std::string& key, MonoTime now) const {
        return buckets_.find(key) != buckets_.end() && wait(key, now) > Microseconds{0};
    }

    /// Takes the token that wait() found. Returns how many tries were in vain before, those under way among them.
    unsigned take(const std::string& key, MonoTime now) {
        auto found = buckets_.find(key);
        if (found == buckets_.end()) {
            if (buckets_.size() >= limits_.entries && !by_time_.empty()) {
                const auto oldest = *by_time_.begin();
                by_time_.erase(by_time_.begin());
                buckets_.erase(buckets_.find(*oldest.second));
            }
            found = buckets_.emplace(key, Bucket{now, now, 0, 0}).first;
        } else {
            by_time_.erase({found->second.full_at, &found->first});
        }
        auto& bucket = found->second;
        if (now - bucket.last >= growth_memory) {
            bucket.unreturned = 0;
            bucket.in_vain = 0;
        }
        const auto before = bucket.in_vain / in_vain_parts;
        if (bucket.in_vain < in_vain_max) bucket.in_vain += in_vain_parts;
        bucket.full_at = std::max(bucket.full_at, now) + cost(bucket.unreturned);
        bucket.last = now;
        if (bucket.unreturned < limits_.burst + doublings_max) ++bucket.unreturned;
        by_time_.insert({bucket.full_at, &found->first});
        return before;
    }

    void give_back(const std::string& key) {
        const auto found = buckets_.find(key);
        if (found == buckets_.end()) return;
        auto& bucket = found->second;
        by_time_.erase({bucket.full_at, &found->first});
        if (bucket.unreturned > 0) --bucket.unreturned;
        if (bucket.in_vain >= in_vain_parts) bucket.in_vain -= in_vain_parts - 1;
        bucket.full_at -= cost(bucket.unreturned);
        by_time_.insert({bucket.full_at, &found->first});
    }

    void begin_anew(const std::string& key) {
        if (const auto found = buckets_.find(key); found != buckets_.end()) found->second.unreturned = 0;
    }

    /// Of what was in vain a `part` is forgotten; the waits stay what they are.
    void forgive(const std::string& key, unsigned part) {
        if (const auto found = buckets_.find(key); found != buckets_.end())
            found->second.in_vain -= found->second.in_vain / part;
    }

private:
    struct Bucket {
        MonoTime full_at, last;
        unsigned unreturned;  ///< tokens that were taken since the last success, up to where waits are longest
        unsigned in_vain;     ///< tries since the last success, in parts, for the rank
    };

    /// What a token costs in time: beyond the burst each one twice as much as the one before.
    Microseconds cost(unsigned unreturned) const {
        if (unreturned < limits_.burst || limits_.wait_max <= limits_.refill) return limits_.refill;
        const auto doublings = std::min(unreturned - limits_.burst + 1, doublings_max);
        return std::min(limits_.refill * (1u << doublings), limits_.wait_max);
    }

    const SignInThrottle::Limits limits_;
    std::unordered_map<std::string, Bucket> buckets_;            ///< its keys stay where they are
    std::set<std::pair<MonoTime, const std::string*>> by_time_;  ///< first: full for longest
};

/// Where somebody has signed in. Apart from the buckets, which a flood of other sources makes forget whatever is full.
class Successes {
public:
    bool at(const std::string& source, MonoTime now) const {
        const auto found = last_.find(source);
        return found != last_.end() && now - found->second < memory;
    }
    void add(const std::string& source, MonoTime at) {
        const auto [found, added] = last_.try_emplace(source, at);
        if (!added) {
            by_time_.erase({found->second, &found->first});
            found->second = std::max(found->second, at);
        }
        by_time_.insert({found->second, &found->first});
        if (last_.size() <= entries_max) return;
        const auto oldest = *by_time_.begin();
        by_time_.erase(by_time_.begin());
        last_.erase(last_.find(*oldest.second));
    }

private:
    static constexpr Microseconds memory = std::chrono::hours{30 * 24};
    static constexpr std::size_t entries_max = 65536;
    std::unordered_map<std::string, MonoTime> last_;             ///< its keys stay where they are
    std::set<std::pair<MonoTime, const std::string*>> by_time_;  ///< first: the oldest
};

std::string cut(std::string_view text) { return std::string(text.substr(0, key_bytes_max)); }

}  // namespace

struct SignInThrottle::Impl {
    Impl(Limits per_source, Limits per_account, Limits per_account_at_source, Limits per_code)
        : sources(per_source),
          failing(per_source),
          accounts(per_account),
          accounts_at_source(per_account_at_source),
          codes(per_code) {}
    std::mutex mutex;
    Successes successes;
    /// What tries of a source count in, whatever the name.
    struct OfSource {
        explicit OfSource(Limits limits) : narrow(limits), wide(wider(limits)) {}
        Buckets narrow, wide;
        /// Calls `visit` with each bucket, and its key.
        template <class Visit>
        void each(const SourceKeys& keys, Visit visit) {
            visit(narrow, keys.narrow);
            if (!keys.wide.empty()) visit(wide, keys.wide);
        }
    };
    OfSource sources;
    /// Of tries that must fail. They are none of the source's others: one program that goes on with an old password
    /// would use these up for its whole office.
    OfSource failing;
    Buckets accounts, accounts_at_source, codes, certificates{SignInThrottle::certificates};

    /// What a try counts in, by what it came from.
    struct Keys {
        explicit Keys(const Try& attempt) : source(source_keys(attempt.source)), known_here(attempt.known_here) {
            account = cut(attempt.canonical_username);
            account_at_source = account + ' ' + source.narrow;
        }
        SourceKeys source;
        std::string account, account_at_source;
        bool known_here;
    };
    /// As OfSource::each(), of the name's buckets.
    template <class Visit>
    void each_of_name(const Keys& keys, Visit visit) {
        if (!keys.known_here) visit(accounts, keys.account);
        visit(accounts_at_source, keys.account_at_source);
    }
    void give_back(const Keys& keys, bool must_fail) {
        const auto back = [](Buckets& buckets, const std::string& key) { buckets.give_back(key); };
        (must_fail ? failing : sources).each(keys.source, back);
        if (!must_fail) each_of_name(keys, back);
    }
};

SignInThrottle::SignInThrottle(Limits per_source, Limits per_account, Limits per_account_at_source, Limits per_code)
    : impl_(std::make_unique<Impl>(per_source, per_account, per_account_at_source, per_code)) {}

SignInThrottle::~SignInThrottle() = default;

SignInThrottle::Verdict SignInThrottle::take(const Try& attempt, MonoTime now) {
    const Impl::Keys keys(attempt);
    std::lock_guard lock(impl_->mutex);
    Microseconds wait{0};
    const auto longest = [&](Buckets& buckets, const std::string& key) {
        wait = std::max(wait, buckets.wait(key, now));
    };
    impl_->sources.each(keys.source, longest);
    if (wait > Microseconds{0}) return {false, wait};

    impl_->each_of_name(keys, longest);
    if (const auto of_name = wait; of_name > Microseconds{0}) {
        // Where a table has no place for one more name, this one may never have been tried.
        bool used_up = false;
        impl_->each_of_name(
            keys, [&](Buckets& buckets, const std::string& key) { used_up = used_up || buckets.used_up(key, now); });
        if (!used_up) return {false, of_name};
        wait = Microseconds{0};
        impl_->failing.each(keys.source, longest);
        if (wait > Microseconds{0}) return {false, std::max(wait, of_name)};
        impl_->failing.each(keys.source, [&](Buckets& buckets, const std::string& key) { buckets.take(key, now); });
        return {true, of_name, std::numeric_limits<unsigned>::max(), true};
    }

    unsigned in_vain_here = 0, around_it = 0;
    impl_->sources.each(keys.source, [&](Buckets& buckets, const std::string& key) {
        const auto in_vain = buckets.take(key, now);
        if (&buckets == &impl_->sources.narrow) in_vain_here = in_vain;
        if (&buckets == &impl_->sources.wide) around_it = in_vain / wide_factor;
    });
    impl_->each_of_name(keys, [&](Buckets& buckets, const std::string& key) { buckets.take(key, now); });
    if (impl_->successes.at(keys.source.narrow, now)) {
        const auto free = std::min(impl_->sources.narrow.burst(), free_max);
        return {true, Microseconds{0}, in_vain_here > free ? in_vain_here - free : 0};
    }
    // A new /64 for each try is no new source.
    return {true, Microseconds{0}, 1 + std::max(in_vain_here, around_it)};
}

void SignInThrottle::give_back(const Try& attempt, MonoTime) {
    const Impl::Keys keys(attempt);
    std::lock_guard lock(impl_->mutex);
    impl_->give_back(keys, attempt.must_fail);
}

void SignInThrottle::succeeded(const Try& attempt, MonoTime now) {
    const Impl::Keys keys(attempt);
    std::lock_guard lock(impl_->mutex);
    impl_->give_back(keys, false);
    impl_->successes.add(keys.source.narrow, now);
    impl_->sources.narrow.forgive(keys.source.narrow, 1);
    // Who has one account does not make thousands of addresses good.
    if (!keys.source.wide.empty()) impl_->sources.wide.forgive(keys.source.wide, 2);
    impl_->accounts_at_source.begin_anew(keys.account_at_source);
    impl_->codes.give_back(keys.account);
    impl_->codes.begin_anew(keys.account);
}

void SignInThrottle::signed_in_before(std::string_view source, MonoTime at) {
    std::lock_guard lock(impl_->mutex);
    impl_->successes.add(source_keys(source).narrow, at);
}

bool SignInThrottle::take_code(std::string_view canonical_username, MonoTime now) {
    const auto account = cut(canonical_username);
    std::lock_guard lock(impl_->mutex);
    if (impl_->codes.wait(account, now) > Microseconds{0}) return false;
    impl_->codes.take(account, now);
    return true;
}

SignInThrottle::Verdict SignInThrottle::take_certificate(std::string_view account_or_device_id, MonoTime now) {
    const auto key = cut(account_or_device_id);
    std::lock_guard lock(impl_->mutex);
    const auto wait = impl_->certificates.wait(key, now);
    if (wait > Microseconds{0}) return {false, wait};
    impl_->certificates.take(key, now);
    return {true, Microseconds{0}};
}

}  // namespace usher::auth
