#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "usher/v1/access.pb.h"

namespace usher::audit {

/// Merges floods of equal denials into exact counts (ADVERSARIES §3.2-10): of nobody in particular, or of somebody who
/// keeps running into a limit. Sans-io; one a worker; not thread-safe. Denials are equal when client network (/24 or
/// /64), first reason, destination and session are. The
/// first one passes at once; those that follow within a second come out as one record with `count`, opened_at of the
/// first and last_at of the last. At most 1,024 keys are held; past them a coarser key (the reason alone, and past 64
/// of those one for all) takes over, so that no count is ever lost. A record of a coarser key names only what all of
/// its denials have in common.
class DenialMerger {
public:
    static constexpr std::size_t keys_max = 1024;
    static constexpr std::size_t coarse_keys_max = 64;
    static constexpr base::Microseconds window{1'000'000};

    /// The record to write now, or nothing when it was merged into one that due() will give.
    std::optional<usher::v1::AccessRecord> offer(usher::v1::AccessRecord record, base::MonoTime now);
    /// The merged records whose window has ended. Call it a few times a second, and with MonoTime::max() at the end.
    std::vector<usher::v1::AccessRecord> due(base::MonoTime now);

    /// How many keys are held: at most keys_max + coarse_keys_max + 1.
    std::size_t keys() const noexcept { return entries_.size(); }

private:
    struct Entry {
        base::MonoTime ends;
        std::uint64_t merged = 0;
        usher::v1::AccessRecord first;  // of the merged ones
    };
    static std::string key_of(const usher::v1::AccessRecord& record);
    std::map<std::string, Entry> entries_;
};

}  // namespace usher::audit
