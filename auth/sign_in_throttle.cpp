#include "auth/sign_in_throttle.hpp"

#include <algorithm>
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

SignInThrottle::Limits wide(SignInThrottle::Limits limits) {
    limits.burst *= wide_factor;
    limits.refill /= wide_factor;
    return limits;
}

/// Buckets by key. A bucket is held as the moment at which it is full again (the generic cell rate algorithm), so it
/// needs no timer to refill.
class Buckets {
public:
    explicit Buckets(SignInThrottle::Limits limits) : limits_(limits) {}

    /// How long until a token is there; zero: now.
    Microseconds wait(const std::string& key, MonoTime now) const {
        const auto found = full_at_.find(key);
        if (found == full_at_.end()) {
            if (full_at_.size() < limits_.entries || by_time_.empty()) return Microseconds{0};
            return std::max(Microseconds{0}, by_time_.begin()->first - now);
        }
        const auto depth = limits_.refill * std::max(1u, limits_.burst);
        return std::max(Microseconds{0}, std::max(found->second, now) - now + limits_.refill - depth);
    }

    /// Takes the token that wait() found.
    void take(const std::string& key, MonoTime now) {
        auto found = full_at_.find(key);
        if (found == full_at_.end()) {
            if (full_at_.size() >= limits_.entries && !by_time_.empty()) {
                const auto oldest = *by_time_.begin();
                by_time_.erase(by_time_.begin());
                full_at_.erase(full_at_.find(*oldest.second));
            }
            found = full_at_.emplace(key, now).first;
        } else {
            by_time_.erase({found->second, &found->first});
        }
        found->second = std::max(found->second, now) + limits_.refill;
        by_time_.insert({found->second, &found->first});
    }

    void give_back(const std::string& key) {
        const auto found = full_at_.find(key);
        if (found == full_at_.end()) return;
        by_time_.erase({found->second, &found->first});
        found->second -= limits_.refill;
        by_time_.insert({found->second, &found->first});
    }

private:
    const SignInThrottle::Limits limits_;
    std::unordered_map<std::string, MonoTime> full_at_;          ///< its keys stay where they are
    std::set<std::pair<MonoTime, const std::string*>> by_time_;  ///< first: full for longest
};

}  // namespace

struct SignInThrottle::Impl {
    Impl(Limits per_source, Limits per_account)
        : sources(per_source), wide_sources(wide(per_source)), accounts(per_account) {}
    std::mutex mutex;
    Buckets sources, wide_sources, accounts;
};

SignInThrottle::SignInThrottle(Limits per_source, Limits per_account)
    : impl_(std::make_unique<Impl>(per_source, per_account)) {}

SignInThrottle::~SignInThrottle() = default;

SignInThrottle::Verdict SignInThrottle::take(std::string_view source, std::string_view canonical_username,
                                             MonoTime now) {
    const auto keys = source_keys(source);
    const std::string account_key(canonical_username.substr(0, key_bytes_max));
    std::lock_guard lock(impl_->mutex);
    auto wait = std::max(impl_->sources.wait(keys.narrow, now), impl_->accounts.wait(account_key, now));
    if (!keys.wide.empty()) wait = std::max(wait, impl_->wide_sources.wait(keys.wide, now));
    if (wait > Microseconds{0}) return {false, wait};
    impl_->sources.take(keys.narrow, now);
    if (!keys.wide.empty()) impl_->wide_sources.take(keys.wide, now);
    impl_->accounts.take(account_key, now);
    return {true, Microseconds{0}};
}

void SignInThrottle::give_back(std::string_view source, std::string_view canonical_username, MonoTime) {
    const auto keys = source_keys(source);
    const std::string account_key(canonical_username.substr(0, key_bytes_max));
    std::lock_guard lock(impl_->mutex);
    impl_->sources.give_back(keys.narrow);
    if (!keys.wide.empty()) impl_->wide_sources.give_back(keys.wide);
    impl_->accounts.give_back(account_key);
}

}  // namespace usher::auth
