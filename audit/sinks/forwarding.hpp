#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "audit/filter.hpp"
#include "audit/sinks/outlet.hpp"
#include "audit/sinks/sink_store.hpp"
#include "audit/store.hpp"

namespace usher::audit::sinks {

/// What a forwarder does for one sink, one batch at a time, without a thread, a clock or a wait: reads behind the
/// sink's cursor from the store, delivers, and moves the cursor once the receiver has confirmed. What is killed in
/// between is sent again: at least once, in order. Used by one thread.
class Forwarding {
public:
    static constexpr std::size_t batch_records = 1000;
    static constexpr std::size_t batch_bytes = 1u << 20;

    /// What is told of it, on the thread that forwards; all of them are given.
    struct Hooks {
        /// So many events were delivered.
        std::function<void(std::size_t)> on_delivered;
        /// A record was put aside.
        std::function<void(std::uint64_t sequence, const base::Error&)> on_parked;
        /// Retention has removed so many records before they were forwarded, or a retried one.
        std::function<void(std::uint64_t)> on_missing;
    };
    /// All that is referred to outlives this. Only the records of `gateway` are forwarded.
    Forwarding(std::string sink, base::Uuid gateway, Filter filter, Store& store, SinkStore& cursors, Outlet& outlet,
               Hooks hooks);

    /// Forwards one batch. Returns how many records are behind it: 0 when the store has no more. After an error the
    /// same records come again. A record that cannot be read, or that the receiver refuses (found by halving the
    /// batch), is parked, and the others go on.
    base::Result<std::size_t> forward_batch();
    /// Tries parked records again that somebody asked for; returns how many it tried.
    base::Result<std::size_t> retry_parked();

    std::uint64_t cursor() const noexcept { return cursor_; }
    /// When the first record was recorded that is not forwarded; nullopt: there is none, or it was not read yet.
    std::optional<base::UtcTime> oldest() const noexcept { return oldest_; }
    /// Whether the last error was the receiver's, not the store's.
    bool receiver_failed() const noexcept { return receiver_failed_; }

private:
    base::Result<void> learn_cursor();
    base::Result<void> deliver(std::span<const usher::v1::AuditEvent> events);
    base::Result<void> park(const JournalRecord& record, const base::Error& why);
    base::Result<void> advance(std::uint64_t sequence);
    base::Result<std::size_t> forward(std::span<const JournalRecord> records);

    const std::string sink_;
    const base::Uuid gateway_;
    const Filter filter_;
    Store& store_;
    SinkStore& cursors_;
    Outlet& outlet_;
    const Hooks hooks_;
    std::uint64_t cursor_ = 0;
    bool know_cursor_ = false;
    bool receiver_failed_ = false;
    std::optional<base::UtcTime> oldest_;
    /// Halved by a refusal and doubled by a success, so that many refused records in a row cost a try each.
    std::size_t limit_ = batch_records;
};

}  // namespace usher::audit::sinks
