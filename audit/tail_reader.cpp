#include <algorithm>

#include "audit/audit.hpp"
#include "audit/tail_items.hpp"

namespace usher::audit {
namespace {
constexpr std::size_t items_max = 256;
constexpr std::size_t scanned_max = 4096;
constexpr std::size_t read_bytes = 256 * 1024;
constexpr std::size_t batch_bytes = 1024 * 1024;
}  // namespace

TailReader::TailReader(Journal& journal, Store& store, Filter filter)
    : journal_(journal), store_(store), filter_(std::move(filter)) {}

base::Result<void> TailReader::start_after(const Cursor& after) {
    if (after.gateway != journal_.gateway_id())
        return base::Error{base::Errc::invalid_argument, "the cursor is of gateway " + after.gateway.to_string() +
                                                             ", this one is " + journal_.gateway_id().to_string()};
    if (after.sequence > journal_.durable_sequence())
        return base::Error{base::Errc::invalid_argument,
                           "the cursor lies beyond the last event, " + std::to_string(journal_.durable_sequence())};
    position_ = after.sequence;
    since_.reset();
    return {};
}

base::Result<void> TailReader::start_since(base::UtcTime since) {
    auto before = store_.sequence_before(journal_.gateway_id(), since);
    if (!before) return before.error();
    if (*before) {
        position_ = **before;
    } else {
        // Nothing so new has been shipped: what is not in the store yet begins behind its watermark.
        auto watermark = store_.watermark(journal_.gateway_id());
        if (!watermark) return watermark.error();
        position_ = *watermark;
    }
    since_ = since;
    return {};
}

void TailReader::start_now() {
    position_ = journal_.durable_sequence();
    since_.reset();
}

base::Result<TailReader::Batch> TailReader::next() {
    Batch batch;
    const base::Uuid gateway = journal_.gateway_id();
    std::size_t scanned = 0, bytes = 0;
    TailPlace place{gateway, position_, since_};
    // A record may make two items: the gap before it and the event.
    while (batch.items.size() + 2 <= items_max && scanned < scanned_max && bytes < batch_bytes) {
        const std::size_t want = std::min(items_max - batch.items.size(), scanned_max - scanned);
        auto records = journal_.read(place.sequence, want, read_bytes);
        if (!records && records.error().code == base::Errc::not_found) {
            records = store_.read_events(gateway, place.sequence, want, read_bytes);
            if (records && records->empty()) {
                // Neither has it: retention removed it. The journal's first is the oldest there is.
                const std::uint64_t first = journal_.status().first_sequence;
                if (first <= place.sequence + 1)
                    return base::Error{base::Errc::unavailable, "the journal and the store are changing; try again"};
                add_gap(batch.items, place, first - 1);
                continue;
            }
        }
        if (!records) return records.error();
        if (records->empty()) {
            batch.at_end = true;
            break;
        }
        for (const auto& record : *records) {
            if (batch.items.size() + 2 > items_max) break;
            bytes += add_record(batch.items, place, record, filter_);
            ++scanned;
        }
    }
    position_ = place.sequence;
    return batch;
}

}  // namespace usher::audit
