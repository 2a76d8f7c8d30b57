#include <memory>
#include <mutex>
#include <optional>

#include "audit/audit.hpp"
#include "base/log.hpp"

namespace usher::audit {

using usher::v1::AccessRecord;

namespace {

/// Appends that are waited for together: a crash under load leaves thousands of accesses, and a sync each would take
/// longer than their users wait.
class Together {
public:
    explicit Together(Journal& journal) : journal_(journal) {}

    base::Result<void> append(JournalAppend record) {
        if (++pending_ == appends_max) {
            pending_ = 0;
            return wait(std::move(record));
        }
        journal_.append(std::move(record), [failure = failure_](base::Result<std::uint64_t> result) {
            if (result) return;
            const std::lock_guard lock(failure->mutex);
            if (!failure->error) failure->error = result.error();
        });
        return {};
    }
    /// Behind it all earlier ones are durable: the journal answers in the order in which it was asked.
    base::Result<void> wait(JournalAppend last) {
        auto appended = journal_.append_and_wait(std::move(last));
        const std::lock_guard lock(failure_->mutex);
        if (failure_->error) return *failure_->error;
        if (!appended) return appended.error();
        return {};
    }

private:
    static constexpr std::size_t appends_max = 1000;
    /// Written by whichever thread refuses, before the journal answers what is waited for.
    struct Failure {
        std::mutex mutex;
        std::optional<base::Error> error;
    };
    Journal& journal_;
    std::shared_ptr<Failure> failure_ = std::make_shared<Failure>();
    std::size_t pending_ = 0;
};

}  // namespace

base::Result<std::uint64_t> close_crashed(Journal& journal) {
    return close_crashed(journal, journal.take_open_accesses());
}

base::Result<std::uint64_t> close_crashed(Journal& journal, const std::vector<JournalRecord>& open) {
    std::uint64_t closed = 0;
    Together together(journal);
    for (const auto& last : open) {
        AccessRecord record;
        if (!record.ParseFromString(last.payload)) {
            // Its checksum was right, so this is a record that a newer program wrote. It must be closed all the same.
            base::log_error("an access that a crash left open cannot be read; it is closed with what is known",
                            {{"access_id", last.access_id.to_string()}, {"sequence", last.sequence}});
            record.Clear();
        }
        record.set_access_id(last.access_id.to_string());
        record.set_event(usher::v1::AccessEventType::CLOSED);
        record.set_close_reason(usher::v1::CloseReason::GATEWAY_CRASHED);
        record.set_bytes_uncertain(true);
        // It ended somewhere between the last durable event and now; the earlier bound is the one that is known. That
        // event's duration is of the monotonic clock; the difference of two wall times is none when the clock was set.
        const std::int64_t opened = record.opened_at().seconds() * 1'000'000 + record.opened_at().nanos() / 1000;
        const std::int64_t ended =
            record.has_opened_at() ? opened + record.duration_us() : base::to_micros(last.recorded_at);
        record.mutable_closed_at()->set_seconds(ended / 1'000'000);
        record.mutable_closed_at()->set_nanos(static_cast<std::int32_t>(ended % 1'000'000) * 1000);
        if (auto appended = together.append(encode(record)); !appended) return appended.error();
        ++closed;
    }
    if (closed > 0) {
        usher::v1::SystemRecord recovered;
        recovered.set_event(usher::v1::SystemRecord::Event::RECOVERED);
        recovered.set_detail("closed " + std::to_string(closed) + " accesses that a crash left open");
        if (auto appended = together.wait(encode(recovered)); !appended) return appended.error();
    }
    return closed;
}

}  // namespace usher::audit
