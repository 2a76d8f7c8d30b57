#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

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
    /// failed_precondition. An error may hide that it was committed. One that is_refusal() is about a record of the
    /// batch: the same records will be refused again.
    virtual base::Result<void> ingest(const base::Uuid& gateway, std::span<const JournalRecord> records) = 0;
    /// Puts a record aside that ingest() refused, as it is and with the reason, and moves the watermark over it, in one
    /// transaction. Else as ingest().
    virtual base::Result<void> park(const base::Uuid& gateway, const JournalRecord& record, const base::Error& why) = 0;
};

/// Whether the database refused a value and not the moment: a constraint, a text that is none, a number out of range.
inline bool is_refusal(const base::Error& error) noexcept {
    return error.code == base::Errc::invalid_argument || error.code == base::Errc::already_exists;
}

/// What a shipper does, one batch at a time, without a thread, a clock or a wait. Used by one thread, except shipped().
class Shipment {
public:
    static constexpr std::size_t batch_records = 1000;
    static constexpr std::size_t batch_bytes = 1u << 20;

    /// `on_parked` is told of each record that was put aside, on the thread that ships.
    using OnParked = std::function<void(const JournalRecord&, const base::Error& why)>;
    Shipment(Journal& journal, Destination& store, OnParked on_parked = {})
        : journal_(journal),
          store_(store),
          on_parked_(std::move(on_parked)),
          durable_at_start_(journal.durable_sequence()) {}

    /// Brings one batch to the store, then tells the journal what it need not keep. Returns how many records there
    /// were: 0 when the store has all that is durable. After an error the next call asks the store where it stands. A
    /// record that the store refuses is found by halving the batch, and parked once it was refused alone.
    base::Result<std::size_t> ship_batch();
    /// Everything up to here is known to be in the store. Wait-free, from any thread.
    std::uint64_t shipped() const noexcept { return shipped_.load(std::memory_order_acquire); }
    /// Whether the last batch was shorter than it could have been, because of a record that is refused.
    bool cut_short() const noexcept { return cut_short_; }

private:
    base::Result<void> learn_watermark();
    /// Ships `records`, or as many of the first of them as it takes to get on. Returns how many are behind us.
    base::Result<std::size_t> ship(std::span<const JournalRecord> records);

    Journal& journal_;
    Destination& store_;
    const OnParked on_parked_;
    const std::uint64_t durable_at_start_;
    std::atomic<std::uint64_t> shipped_{0};
    /// Halved by a refusal and doubled by a success, so that many refused records in a row cost a try each.
    std::size_t limit_ = batch_records;
    bool cut_short_ = false;
    bool know_watermark_ = false;
    bool follows_store_ = false;
};

}  // namespace usher::audit
