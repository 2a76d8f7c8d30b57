#include "gateway/live_access.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "gateway/live_registry.hpp"
#include "gateway/record.hpp"

namespace usher::gateway {
namespace asio = boost::asio;

namespace {
/// ADVERSARIES §3.1 A3: a record that is not durable by then is refused.
constexpr std::chrono::seconds open_limit{2};
constexpr std::chrono::milliseconds arrival_poll{100};
}  // namespace

/// A journal completion comes from another thread and may come late: it reaches the access through this, on the
/// worker's thread.
struct LiveAccess::Shared {
    Shared(LiveAccess* a, asio::any_io_executor e) : access(a), executor(std::move(e)) {}
    void wake() {
        if (changed) changed->cancel();
    }
    LiveAccess* access;  // null once the access is gone; the worker's thread only
    asio::any_io_executor executor;
    std::unique_ptr<asio::steady_timer> changed;  // while somebody may wait
    std::optional<bool> open_result;
};

LiveAccess::LiveAccess(audit::Journal& journal, const base::Clock& clock, EnforcementQueue& orders,
                       asio::any_io_executor executor, AccessRecord record, base::Uuid id, auth::SessionPtr session,
                       base::Destination destination)
    : journal_(journal),
      clock_(clock),
      orders_(orders),
      id_(id),
      session_(std::move(session)),
      destination_(std::move(destination)),
      client_ip_(record.client_ip()),
      app_(record.app()),
      record_(std::make_unique<AccessRecord>(std::move(record))),
      shared_(std::make_shared<Shared>(this, std::move(executor))),
      opened_mono_(clock.mono()),
      last_moved_(opened_mono_),
      last_event_(opened_mono_),
      // Many that begin together are not judged again together.
      judged_at_(opened_mono_ - judged_again_after * (id.bytes[14] * 256 + id.bytes[15]) / 65'536),
      logged_until_(opened_mono_) {
    record_->set_access_id(id_.to_string());
    if (!record_->has_opened_at()) set_time(*record_->mutable_opened_at(), clock.utc());
    opened_utc_ = get_time(record_->opened_at());
}

LiveAccess::~LiveAccess() {
    close(CloseReason::CLIENT_ERROR);
    shared_->access = nullptr;
    shared_->wake();
}

LiveAccess::Figures LiveAccess::arrived() const {
    const OnTheWay more = on_the_way_ ? on_the_way_(false) : OnTheWay{};
    return {std::max(stamped_.up, up_ - std::min(up_, more.up)),
            std::max(stamped_.down, down_ - std::min(down_, more.down))};
}

void LiveAccess::stamp(AccessRecord& record, Figures figures) const {
    record.set_bytes_up(figures.up);
    record.set_bytes_down(figures.down);
    // Behind the cut nothing moves any more, however long it takes to clear away.
    record.set_duration_us((cut_at_.value_or(clock_.mono()) - opened_mono_).count());
    if (uncertain_) record.set_bytes_uncertain(true);
    if (!revoked_at_) return;
    // Both moments on the clock of the duration: a step of the wall clock is not between them.
    set_time(*record.mutable_revoked_at(), opened_utc_ + (*revoked_at_ - opened_mono_));
    if (cut_by_order_) record.set_bytes_after_revocation(std::min(passed_, figures.total()));
}

/// Two messages behind each other are one, in which the second one's values count (protobuf's encoding, "Last One
/// Wins"); of repeated fields it has both's.
audit::JournalAppend LiveAccess::on_top(audit::RecordType type, const AccessRecord& record) const {
    audit::JournalAppend append{type, id_, {}};
    append.payload.reserve(said_.size() + record.ByteSizeLong());
    append.payload = said_;
    record.AppendToString(&append.payload);
    return append;
}

void LiveAccess::open() {
    record_->set_event(usher::v1::AccessEventType::OPENED);
    record_->set_verdict(usher::v1::Verdict::ALLOWED);
    opened_ = true;
    auto append = audit::encode(*record_);
    said_ = append.payload;
    record_.reset();
    shared_->changed = std::make_unique<asio::steady_timer>(shared_->executor, open_limit);
    journal_.append(std::move(append), [shared = shared_](base::Result<std::uint64_t> result) {
        asio::post(shared->executor, [shared, durable = result.ok()] {
            shared->open_result = durable;
            shared->wake();
        });
    });
}

asio::awaitable<bool> LiveAccess::durable() {
    auto shared = shared_;
    while (!shared->open_result && shared->changed->expiry() > asio::steady_timer::clock_type::now())
        co_await shared->changed->async_wait(asio::as_tuple(asio::use_awaitable));
    shared->changed.reset();
    if (!shared->open_result) co_return false;  // OPENED may yet become durable, so close() will write CLOSED behind it
    if (!*shared->open_result) {
        opened_ = false;
        closed_ = true;  // The journal took nothing, so there is nothing to close and nothing to write it to.
        co_return false;
    }
    if (record_) {  // another address than the first one, in most cases
        record_->AppendToString(&said_);
        record_.reset();
    }
    co_return true;
}

void LiveAccess::passed(std::uint64_t order, std::uint64_t bytes) noexcept {
    if (cut_at_ || bytes == 0) return;  // the figure is what it was at the cut
    if (std::exchange(waiting_order_, order) != order) passed_ = 0;
    passed_ += bytes;
}

void LiveAccess::progress() {
    if (progress_in_flight_ || closed_ || !opened_) return;
    progress_in_flight_ = true;
    stamped_at_ = up_ + down_;
    stamped_ = arrived();
    last_event_ = clock_.mono();
    AccessRecord record = record_ ? *record_ : AccessRecord{};
    record.set_event(usher::v1::AccessEventType::PROGRESS);
    stamp(record, stamped_);
    journal_.append(on_top(audit::RecordType::access_progress, record),
                    [shared = shared_](base::Result<std::uint64_t> result) {
                        asio::post(shared->executor, [shared, durable = result.ok()] {
                            LiveAccess* access = shared->access;
                            if (access == nullptr) return;
                            access->progress_in_flight_ = false;
                            access->journal_failed_ = !durable;
                            if (durable) {
                                access->logged_ = access->stamped_.total();
                                access->logged_until_ = access->last_event_;
                                access->late_ = false;
                            }
                            shared->wake();
                        });
                    });
}

asio::awaitable<void> LiveAccess::gate() {
    auto shared = shared_;
    while (shared->access != nullptr && gated() && !was_cut()) {
        if (!progress_in_flight_ && !journal_failed_ && arrived().total() > logged_) progress();
        // tick() tries again while the journal fails, and cuts when it has failed for too long. What arrives tells
        // nobody, so it is looked for. Both directions may be here: setting the time anew would wake the other one.
        if (!shared->changed) shared->changed = std::make_unique<asio::steady_timer>(shared->executor);
        if (shared->changed->expiry() <= asio::steady_timer::clock_type::now())
            shared->changed->expires_after(arrival_poll);
        co_await shared->changed->async_wait(asio::as_tuple(asio::use_awaitable));
    }
    // Whoever still waits is woken by it. None of them may wait with a cancellation slot, which would keep a pointer.
    shared->changed.reset();
}

void LiveAccess::wake() noexcept {
    // Until its worker last passed it by, all of it was on record.
    logged_until_ = std::max(logged_until_, registry_->wake(*this));
}

bool LiveAccess::tick(base::MonoTime now) {
    const std::uint64_t total = up_ + down_;
    const bool moved = total != seen_;
    if (moved) {
        seen_ = total;
        last_moved_ = now;
    }
    if (opened_) look_at_unlogged(now);
    return moved;
}

void LiveAccess::look_at_unlogged(base::MonoTime now) {
    if (!progress_in_flight_) {
        const bool due = now - last_event_ >= progress_after_time;
        if (!journal_failed_ && (unlogged() == 0 || (due && arrived().total() == logged_)))
            logged_until_ = now;
        else if (due || journal_failed_)
            progress();
        if (now - last_event_ >= heartbeat_after) progress();
    }
    late_ = now - logged_until_ >= unlogged_time_max;
}

void LiveAccess::cut(CloseReason::Value reason, const Order& order) {
    if (cut_reason_ || closed_) return;
    cut_reason_ = reason;
    cut_at_ = clock_.mono();
    cut_by_order_ = order.oldest != 0;
    if (order.oldest != waiting_order_) passed_ = 0;
    if (reason == CloseReason::REVOKED || reason == CloseReason::POLICY_CHANGED || reason == CloseReason::SIGNED_OUT ||
        reason == CloseReason::SESSION_EXPIRED || reason == CloseReason::CONTROL_LOST)
        revoked_at_ = std::clamp(order.at, opened_mono_, *cut_at_);  // it may be about an order of before too
    shared_->wake();
    if (stop_) {
        auto stop = std::move(stop_);
        stop_ = nullptr;
        stop();
    }
}

void LiveAccess::undelivered_up(std::uint64_t bytes) {
    if (bytes == 0 || up_ == 0) return;
    up_ -= std::min(up_, bytes);
    mark_uncertain();
}

void LiveAccess::undelivered_down(std::uint64_t bytes) {
    if (bytes == 0 || down_ == 0) return;
    down_ -= std::min(down_, bytes);
    mark_uncertain();
}

void LiveAccess::close(CloseReason::Value reason) {
    if (closed_) return;
    closed_ = true;
    AccessRecord record = record_ ? std::move(*record_) : AccessRecord{};
    record.set_close_reason(cut_reason_.value_or(reason));
    stamp(record, {up_, down_});
    if (opened_) {
        record.set_event(usher::v1::AccessEventType::CLOSED);
        set_time(*record.mutable_closed_at(), opened_utc_ + base::Microseconds{record.duration_us()});
    } else {
        record.set_event(usher::v1::AccessEventType::DENIED);
        if (record.verdict() == usher::v1::Verdict::UNSPECIFIED || record.verdict() == usher::v1::Verdict::ALLOWED)
            record.set_verdict(usher::v1::Verdict::FAILED);
    }
    auto last = opened_ ? on_top(audit::RecordType::access_closed, record) : audit::encode(record);
    last.can_wait = true;
    journal_.append(std::move(last), [id = id_](base::Result<std::uint64_t> result) {
        if (!result)
            base::log_error("the end of an access could not be recorded",
                            {{"access_id", id.to_string()}, {"error", result.error().message}});
    });
}

}  // namespace usher::gateway
