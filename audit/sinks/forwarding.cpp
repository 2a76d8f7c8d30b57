#include "audit/sinks/forwarding.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "audit/audit.hpp"

namespace usher::audit::sinks {

using base::Errc;
using base::Error;
using base::Result;

namespace {

constexpr std::size_t retried_max = 100;

bool is_refused(const Error& error) { return error.code == Errc::invalid_argument; }

}  // namespace

Forwarding::Forwarding(std::string sink, base::Uuid gateway, Filter filter, Store& store, SinkStore& cursors,
                       Outlet& outlet, Hooks hooks)
    : sink_(std::move(sink)),
      gateway_(gateway),
      filter_(std::move(filter)),
      store_(store),
      cursors_(cursors),
      outlet_(outlet),
      hooks_(std::move(hooks)) {}

Result<void> Forwarding::learn_cursor() {
    if (know_cursor_) return {};
    auto found = cursors_.cursor(sink_, gateway_);
    if (!found) return std::move(found).error();
    cursor_ = *found;
    know_cursor_ = true;
    return {};
}

Result<void> Forwarding::deliver(std::span<const usher::v1::AuditEvent> events) {
    auto delivered = outlet_.deliver(events);
    receiver_failed_ = !delivered && !is_refused(delivered.error());
    return delivered;
}

Result<void> Forwarding::advance(std::uint64_t sequence) {
    auto moved = cursors_.advance(sink_, gateway_, sequence);
    // The commit may have come about all the same: where it is now, the database knows.
    know_cursor_ = moved.ok();
    if (moved) cursor_ = sequence;
    return moved;
}

Result<void> Forwarding::park(const JournalRecord& record, const Error& why) {
    auto parked = cursors_.park(sink_, gateway_, record.sequence, record.recorded_at, why);
    know_cursor_ = parked.ok();
    if (!parked) return parked;
    cursor_ = record.sequence;
    hooks_.on_parked(record.sequence, why);
    return {};
}

Result<std::size_t> Forwarding::forward_batch() {
    receiver_failed_ = false;
    if (auto known = learn_cursor(); !known) return std::move(known).error();
    auto records = store_.read_events(gateway_, cursor_, batch_records, batch_bytes);
    if (!records) return std::move(records).error();
    if (records->empty()) {
        oldest_.reset();
        return std::size_t{0};
    }
    // A sink that is new begins with what there is; what retention removed before is not missing from it.
    std::uint64_t before = cursor_ == 0 ? records->front().sequence - 1 : cursor_;
    std::uint64_t missing = 0;
    for (const auto& record : *records) missing += record.sequence - std::exchange(before, record.sequence) - 1;
    std::size_t behind = 0;
    while (behind < records->size()) {
        oldest_ = (*records)[behind].recorded_at;
        const std::span<const JournalRecord> rest(records->data() + behind, records->size() - behind);
        auto forwarded = forward(rest.first(std::min(limit_, rest.size())));
        if (!forwarded) return std::move(forwarded).error();
        behind += *forwarded;
        if (*forwarded > 0) limit_ = std::min(limit_ * 2, batch_records);
    }
    oldest_.reset();
    if (missing > 0) hooks_.on_missing(missing);
    return behind;
}

/// Returns how many of the first of them are behind: none where they were refused together and fewer must be tried.
Result<std::size_t> Forwarding::forward(std::span<const JournalRecord> records) {
    std::vector<usher::v1::AuditEvent> events;
    std::size_t taken = 0;
    for (const auto& record : records) {
        auto event = decode(gateway_, record);
        if (!event) {
            if (taken > 0) break;  // what came before it goes first
            if (auto parked = park(record, event.error()); !parked) return std::move(parked).error();
            return std::size_t{1};
        }
        ++taken;
        if (filter_.matches(*event)) events.push_back(std::move(*event));
    }
    if (!events.empty()) {
        auto delivered = deliver(events);
        if (!delivered && is_refused(delivered.error())) {
            if (taken > 1) {
                limit_ = taken / 2;
                return std::size_t{0};
            }
            if (auto parked = park(records.front(), delivered.error()); !parked) return std::move(parked).error();
            return std::size_t{1};
        }
        if (!delivered) return std::move(delivered).error();
        hooks_.on_delivered(events.size());
    }
    if (auto moved = advance(records[taken - 1].sequence); !moved) return std::move(moved).error();
    return taken;
}

Result<std::size_t> Forwarding::retry_parked() {
    receiver_failed_ = false;
    auto wanted = cursors_.to_retry(sink_, gateway_, retried_max);
    if (!wanted) return std::move(wanted).error();
    for (const std::uint64_t sequence : *wanted) {
        auto records = store_.read_events(gateway_, sequence - 1, 1);
        if (!records) return std::move(records).error();
        const bool there = !records->empty() && records->front().sequence == sequence;
        Result<void> outcome;
        if (!there) {
            hooks_.on_missing(1);
        } else {
            auto event = decode(gateway_, records->front());
            outcome =
                event ? deliver({&*event, 1}) : Result<void>(Error{Errc::invalid_argument, event.error().message});
        }
        if (!outcome && !is_refused(outcome.error())) return std::move(outcome).error();
        if (outcome && there) hooks_.on_delivered(1);
        auto noted = outcome ? cursors_.forget(sink_, gateway_, sequence)
                             : cursors_.refused_again(sink_, gateway_, sequence, outcome.error());
        if (!noted) return std::move(noted).error();
    }
    return wanted->size();
}

}  // namespace usher::audit::sinks
