#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "gateway/running_daemon.hpp"

namespace usher::gateway {
namespace {

using base::Errc;
using base::Error;

}  // namespace

RunningDaemon::Asked RunningDaemon::asked() {
    std::lock_guard lock(operation_mutex_);
    return std::exchange(asked_, Asked::nothing);
}

RunningDaemon::Status RunningDaemon::status() const {
    Status status;
    status.process_id = ::getpid();
    status.started_at = started_at_;
    status.tunnels = workers_.live();
    if (const auto before = predecessor())
        if (const auto theirs = before->status())
            status.predecessor = {theirs->process_id, theirs->version, theirs->tunnels, theirs->deadline};
    std::lock_guard lock(operation_mutex_);
    status.draining = drain_end_.has_value();
    if (drain_end_) status.drain_deadline = clock_.utc() + (*drain_end_ - clock_.mono());
    status.upgrading = upgrading_;
    status.upgrade_error = upgrade_error_;
    return status;
}

void RunningDaemon::drain(std::optional<base::Microseconds> limit) {
    phase_ = Phase::draining;  // whoever asks /readyz after this call hears of it
    const auto before = predecessor();
    std::lock_guard lock(operation_mutex_);
    drain_end_ = clock_.mono() + limit.value_or(config_.timeouts.drain);
    if (before) before->leave(*drain_end_ - clock_.mono());
    asked_ = Asked::drain;
    ::kill(::getpid(), wake_signal);
}

base::Result<void> RunningDaemon::upgrade(Upgrade upgrade) {
    const auto before = predecessor();
    const auto theirs = before ? before->status() : std::nullopt;
    if (theirs && theirs->tunnels > 0 && !upgrade.end_previous)
        return Error{Errc::failed_precondition,
                     "process " + std::to_string(theirs->process_id) + " still has " + std::to_string(theirs->tunnels) +
                         " tunnels from before the last upgrade" +
                         (theirs->deadline ? ", until " + base::format_rfc3339(*theirs->deadline) : "") +
                         "; wait for it, or end it (end_previous)"};
    std::lock_guard lock(operation_mutex_);
    if (upgrading_) return Error{Errc::failed_precondition, "an upgrade is under way"};
    if (drain_end_) return Error{Errc::failed_precondition, "the gateway drains"};
    upgrading_ = true;
    upgrade_error_.clear();
    upgrade_ = std::move(upgrade);
    asked_ = Asked::upgrade;
    ::kill(::getpid(), wake_signal);
    return {};
}

base::MonoTime RunningDaemon::drain_end() const {
    std::lock_guard lock(operation_mutex_);
    return *drain_end_;
}

std::uint64_t RunningDaemon::enforce(const Enforcement& what) {
    if (what.affected.nobody()) return 0;
    std::uint64_t cut = workers_.enforce(what);
    if (const auto before = predecessor()) cut += before->enforce(directory_->snapshot()->version(), what.signed_out);
    return cut;
}

std::uint64_t RunningDaemon::enforce_known(const auth::Affected& affected) {
    std::uint64_t cut = workers_.enforce(Enforcement::of(affected));
    if (const auto before = predecessor()) cut += before->enforce(0, {});
    return cut;
}

std::optional<std::uint64_t> RunningDaemon::count_accesses(std::span<const std::string> session_ids,
                                                           base::Microseconds limit) {
    const auto by = std::chrono::steady_clock::now() + limit;
    auto count = workers_.count_accesses(session_ids, by);
    const auto before = predecessor();
    if (!count || !before) return count;
    const auto theirs = before->count_accesses(session_ids, by);
    return theirs ? std::optional(*count + *theirs) : std::nullopt;
}

std::size_t RunningDaemon::live() const {
    std::size_t sum = workers_.live();
    if (const auto before = predecessor())
        if (const auto theirs = before->status()) sum += theirs->tunnels;
    return sum;
}

std::string RunningDaemon::expose() {
    const auto status = journal_->status();
    metrics_.journal_durable_sequence.Set(static_cast<double>(status.durable_sequence));
    const auto shipped = shipper_->shipped_sequence();
    metrics_.journal_shipped_sequence.Set(static_cast<double>(shipped));
    const auto lag = audit::shipping_lag(*journal_, *shipper_, clock_.utc());
    metrics_.journal_unshipped_events.Set(static_cast<double>(lag.events));
    metrics_.journal_shipping_lag_seconds.Set(static_cast<double>(lag.age.value_or(base::Microseconds{0}).count()) /
                                              1e6);
    metrics_.journal_queue_events.Set(static_cast<double>(status.queued));
    metrics_.hashing_queue.Set(static_cast<double>(hashing_->queued()));
    metrics_.background_queue.Set(static_cast<double>(background_.queued()));
    metrics_.revocations_pending.Set(static_cast<double>(revocations_->pending()));
    metrics_.journal_healthy.Set(status.healthy ? 1 : 0);
    for (const auto& sink : sinks_ ? sinks_->status() : std::vector<audit::sinks::Status>{})
        metrics_.sink_state(sink.settings.name, sink.lag_records, sink.lag.value_or(base::Microseconds{0}),
                            sink.parked);
    return metrics_.expose();
}

std::string RunningDaemon::not_ready() {
    if (phase_ != Phase::serving) return "shutting down";
    if (!journal_->status().healthy) return "the journal takes no records";
    return {};
}

}  // namespace usher::gateway
