#include "gateway/limits/rate_table.hpp"

#include <algorithm>
#include <cassert>

namespace usher::gateway::limits {

RateTable::RateTable(unsigned burst, unsigned per_second, std::size_t buckets)
    : depth_(base::Microseconds{1'000'000} * burst / per_second),
      refill_(base::Microseconds{1'000'000} / per_second),
      buckets_(std::max<std::size_t>(1, (buckets + ways - 1) / ways) * ways) {
    assert(burst >= 1 && per_second >= 1);
}

/// The bucket of `key`: its own, or the fullest of its places, made its own.
RateTable::Bucket& RateTable::find(const base::IpAddress& key) {
    const std::size_t set = hash_(key) % (buckets_.size() / ways) * ways;
    const auto begin = buckets_.begin() + static_cast<std::ptrdiff_t>(set);
    const auto end = begin + static_cast<std::ptrdiff_t>(ways);
    const auto own = std::find_if(begin, end, [&](const Bucket& bucket) { return bucket.key == key; });
    if (own != end) return *own;
    auto& place = *std::min_element(begin, end, [](const auto& a, const auto& b) { return a.full_at < b.full_at; });
    place = {key, base::MonoTime{}};
    return place;
}

bool RateTable::take(const Source& source, base::MonoTime now) {
    const auto after = [&](const Bucket& bucket, unsigned factor) {
        return std::max(bucket.full_at, now) + refill_ / factor;
    };
    for (const auto& [key, factor] : source.networks())
        if (after(find(key), factor) - now > depth_) return false;
    for (const auto& [key, factor] : source.networks()) {
        Bucket& bucket = find(key);
        bucket.full_at = after(bucket, factor);
    }
    return true;
}

}  // namespace usher::gateway::limits
