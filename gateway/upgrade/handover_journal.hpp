#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "audit/journal/journal.hpp"
#include "base/clock.hpp"

namespace usher::gateway::upgrade {

/// The gateway's journal, wherever it is: in this process, and after an upgrade in the one that took over. What is
/// appended while it is on its way waits. Whoever appends sees none of it, but for the time that it takes; where the
/// journal cannot be reached, it is an unhealthy one. Thread-safe.
///
/// Only append(), append_and_wait(), gateway_id(), durable_sequence() and status() are served once it is away: the
/// shipper, the control API and their listeners have gone before.
class HandoverJournal final : public audit::Journal {
public:
    HandoverJournal(std::unique_ptr<audit::Journal> own, const base::Clock& clock, base::Microseconds stall_limit,
                    std::size_t waiting_max);
    ~HandoverJournal() override;

    /// Makes durable what is queued, and closes the journal in this process: another one may open it when this returns.
    void freeze();
    /// After freeze(): goes on in this process.
    void thaw(std::unique_ptr<audit::Journal> own);
    /// Sends one append on its way. Called under a lock, so in order; must not block.
    using Send = std::function<bool(std::uint64_t number, const audit::JournalAppend&)>;
    /// After freeze(): goes on through `send`.
    void follow(Send send);
    /// What became of an append that was sent.
    void answer(std::uint64_t number, base::Result<std::uint64_t> result);
    /// What the process that has the journal says of its health.
    void set_health(bool healthy, std::string problem);
    /// Nobody has the journal any more: what waits is refused, and all that comes.
    void fail(const std::string& why);
    /// Waits until nothing is on its way any more; false past `limit`.
    bool wait_answered(base::Microseconds limit);

    base::Uuid gateway_id() const noexcept override { return gateway_; }
    void append(audit::JournalAppend record, Done done) override;
    base::Result<std::uint64_t> append_and_wait(audit::JournalAppend record) override;
    audit::JournalStatus status() const override;
    std::uint64_t durable_sequence() const noexcept override;
    std::uint64_t wait_beyond(std::uint64_t after, base::Microseconds timeout) const override;
    std::uint64_t add_listener(std::function<void()> listener) override;
    void remove_listener(std::uint64_t id) override;
    base::Result<std::vector<audit::JournalRecord>> read(std::uint64_t after, std::size_t max_records,
                                                         std::size_t max_bytes) const override;
    void mark_shipped(std::uint64_t sequence) override;
    std::vector<audit::JournalRecord> take_open_accesses() override;

private:
    enum class Place { here, under_way, away, nowhere };
    struct Waiting {
        audit::JournalAppend record;  ///< empty once it was sent
        Done done;
        base::MonoTime since;
        bool sent = false;
    };
    std::shared_ptr<audit::Journal> own() const;
    void refuse(std::map<std::uint64_t, Waiting> waiting, const std::string& why);

    const base::Uuid gateway_;
    const base::Clock& clock_;
    const base::Microseconds stall_limit_;
    const std::size_t waiting_max_;
    mutable std::mutex mutex_;  ///< of what follows
    std::condition_variable answered_;
    Place place_ = Place::here;
    std::shared_ptr<audit::Journal> own_;
    std::map<std::uint64_t, Waiting> waiting_;  ///< oldest first
    std::uint64_t next_ = 1;
    std::uint64_t durable_ = 0;
    Send send_;
    bool healthy_ = true;
    std::string problem_;
    std::optional<base::MonoTime> heard_at_;
};

}  // namespace usher::gateway::upgrade
