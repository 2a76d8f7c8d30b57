#include "audit/ship.hpp"

#include <algorithm>
#include <string>

namespace usher::audit {

base::Result<void> Shipment::learn_watermark() {
    if (know_watermark_) return {};
    auto watermark = store_.watermark(journal_.gateway_id());
    if (!watermark) return watermark.error();
    // What this process appends must not hide it: so it is the end at the start that counts, until the store
    // has once been seen behind it. A trimmed journal would lose what was never shipped.
    if (!follows_store_ && *watermark > durable_at_start_)
        return base::Error{base::Errc::failed_precondition,
                           "the store has the events of gateway " + journal_.gateway_id().to_string() + " up to " +
                               std::to_string(*watermark) + ", its journal ended at " +
                               std::to_string(durable_at_start_) +
                               ": an old copy of it? ('usherctl journal repair --through' lets it go on behind)"};
    follows_store_ = true;
    know_watermark_ = true;
    shipped_.store(*watermark, std::memory_order_release);
    journal_.mark_shipped(*watermark);
    return {};
}

base::Result<std::size_t> Shipment::ship(std::span<const JournalRecord> records) {
    const auto& gateway = journal_.gateway_id();
    records = records.first(std::min(records.size(), limit_));
    while (true) {
        auto ingested = store_.ingest(gateway, records);
        if (ingested) {
            limit_ = std::min(limit_ * 2, batch_records);
            return records.size();
        }
        if (!is_refusal(ingested.error())) return ingested.error();
        if (records.size() > 1) {
            limit_ = records.size() / 2;
            records = records.first(limit_);
            continue;
        }
        if (auto parked = store_.park(gateway, records.front(), ingested.error()); !parked) return parked.error();
        if (on_parked_) on_parked_(records.front(), ingested.error());
        return std::size_t{1};
    }
}

base::Result<std::size_t> Shipment::ship_batch() {
    if (auto known = learn_watermark(); !known) return known.error();
    auto records = journal_.read(shipped(), batch_records, batch_bytes);
    if (!records) return records.error();
    if (records->empty()) return std::size_t{0};
    auto shipped = ship(*records);
    if (!shipped) {
        // After a commit whose outcome is not known the store is asked where it stands.
        know_watermark_ = false;
        return shipped.error();
    }
    cut_short_ = *shipped < records->size();
    const std::uint64_t last = (*records)[*shipped - 1].sequence;
    shipped_.store(last, std::memory_order_release);
    journal_.mark_shipped(last);
    return *shipped;
}

}  // namespace usher::audit
