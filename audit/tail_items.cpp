#include "audit/tail_items.hpp"

#include "audit/audit.hpp"
#include "base/log.hpp"

namespace usher::audit {

void add_gap(TailItems& items, TailPlace& place, std::uint64_t last) {
    auto* gap = items.emplace_back().mutable_gap();
    gap->set_gateway_id(place.gateway.to_string());
    gap->set_first_missing(place.sequence + 1);
    gap->set_last_missing(last);
    gap->set_cursor(Cursor{place.gateway, last}.to_string());
    place.sequence = last;
}

std::size_t add_record(TailItems& items, TailPlace& place, const JournalRecord& record, const Filter& filter) {
    if (record.sequence > place.sequence + 1) add_gap(items, place, record.sequence - 1);
    if (place.since && record.recorded_at < *place.since) {
        place.sequence = record.sequence;
        return 0;
    }
    auto event = decode(place.gateway, record);
    if (!event) {
        base::log_error("an audit event cannot be read", {{"error", event.error().message}});
        add_gap(items, place, record.sequence);
        return 0;
    }
    place.sequence = record.sequence;
    if (!filter.matches(*event)) return 0;
    *items.emplace_back().mutable_event() = std::move(*event);
    return record.payload.size();
}

}  // namespace usher::audit
