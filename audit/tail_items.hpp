#pragma once
#include <optional>
#include <vector>

#include "audit/filter.hpp"
#include "audit/journal/journal.hpp"
#include "base/clock.hpp"
#include "usher/v1/audit.pb.h"

/// From records of one gateway to what its subscribers are sent. Pure but for the log.
namespace usher::audit {

using TailItems = std::vector<usher::v1::TailResponse>;

/// Where a reader is in the events of one gateway.
struct TailPlace {
    base::Uuid gateway;
    std::uint64_t sequence = 0;          ///< the last that was read
    std::optional<base::UtcTime> since;  ///< what was recorded earlier is left out
};

/// Says that the events behind `place` up to `last` are no more, and moves it there.
void add_gap(TailItems& items, TailPlace& place, std::uint64_t last);
/// Adds the record, if it matches, and before it a gap, if there is one: at most two items. Moves `place` to it.
/// Returns the bytes that it adds. A record that cannot be read is a gap, and said in the log.
std::size_t add_record(TailItems& items, TailPlace& place, const JournalRecord& record, const Filter& filter);

}  // namespace usher::audit
