#pragma once
#include <atomic>
#include <cstdint>
#include <span>

#include "audit/journal/journal.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace usher::audit {

/// Where a journal's records are brought.
class Destination {
public:
    virtual ~Destination() = default;
    /// The last sequence of `gateway` that has been ingested; 0 when there is none.
    virtual base::Result<std::uint64_t> watermark(const base::Uuid& gateway) = 0;
    /// Ingests consecutive records in one transaction and moves the watermark. Records at or below the watermark are
    /// skipped, so a batch may be sent again; a batch that would leave a gap behind the watermark is
    /// failed_precondition. An error may hide that it was committed.
    virtual base::Result<void> ingest(const base::Uuid& gateway, std::span<const JournalRecord> records) = 0;
};

/// What a shipper does, one batch at a time, without a thread, a clock or a wait. Used by one thread, except shipped().
class Shipment {
public:
    static constexpr std::size_t batch_records = 1000;
    static constexpr std::size_t batch_bytes = 1u << 20;

    Shipment(Journal& journal, Destination& store)
        : journal_(journal), store_(store), durable_at_start_(journal.durable_sequence()) {}

    /// Brings one batch to the store, then tells the journal what it need not keep. Returns how many records there
    /// were: 0 when the store has all that is durable. After an error the next call asks the store where it stands.
    base::Result<std::size_t> ship_batch();
    /// Everything up to here is known to be in the store. Wait-free, from any thread.
    std::uint64_t shipped() const noexcept { return shipped_.load(std::memory_order_acquire); }

private:
    base::Result<void> learn_watermark();

    Journal& journal_;
    Destination& store_;
    const std::uint64_t durable_at_start_;
    std::atomic<std::uint64_t> shipped_{0};
    bool know_watermark_ = false;
    bool follows_store_ = false;
};

}  // namespace usher::audit
