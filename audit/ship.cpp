#include "audit/ship.hpp"

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

base::Result<std::size_t> Shipment::ship_batch() {
    if (auto known = learn_watermark(); !known) return known.error();
    auto records = journal_.read(shipped(), batch_records, batch_bytes);
    if (!records) return records.error();
    if (records->empty()) return std::size_t{0};
    if (auto ingested = store_.ingest(journal_.gateway_id(), *records); !ingested) {
        // After a commit whose outcome is not known the store is asked where it stands.
        know_watermark_ = false;
        return ingested.error();
    }
    shipped_.store(records->back().sequence, std::memory_order_release);
    journal_.mark_shipped(records->back().sequence);
    return records->size();
}

}  // namespace usher::audit
