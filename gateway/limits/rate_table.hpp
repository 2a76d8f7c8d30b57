#pragma once
#include <cstddef>
#include <vector>

#include "base/clock.hpp"
#include "gateway/limits/source.hpp"

namespace usher::gateway::limits {

/// A token bucket for each source: `burst` at once, then `per_second`. Sans-io; not thread-safe.
///
/// Its memory is allocated once, 24 bytes a bucket. A bucket is kept as the moment at which it is full again (the
/// generic cell rate algorithm), so a full one need not be kept at all. Each source may lie in one of `ways` places;
/// when all of them are in use the one that is fullest makes room, so a flood of other sources forgives a source that
/// is over its rate only after it has brought as many that are further over it.
class RateTable {
public:
    static constexpr std::size_t ways = 8;

    /// `burst` and `per_second` are at least 1; `buckets` is rounded up to a multiple of `ways`.
    RateTable(unsigned burst, unsigned per_second, std::size_t buckets = 65536);

    /// True and a token of each of the source's networks taken, or false and none.
    bool take(const Source& source, base::MonoTime now);

    std::size_t buckets() const noexcept { return buckets_.size(); }

private:
    struct Bucket {
        base::IpAddress key;
        base::MonoTime full_at{};
    };
    Bucket& find(const base::IpAddress& key);

    base::Microseconds depth_;   ///< from empty to full
    base::Microseconds refill_;  ///< of one token, of factor 1
    std::vector<Bucket> buckets_;
    KeyedHash hash_;
};

}  // namespace usher::gateway::limits
