#include <exception>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/control/methods.hpp"
#include "gateway/control/read_record.hpp"
#include "gateway/control/status.hpp"
#include "gateway/control/tail.hpp"

namespace usher::gateway::control {

TailStream::TailStream(TailHub& hub, const CallerPolicy& callers, grpc::CallbackServerContext* call, Caller caller,
                       audit::FleetReader reader, TailStart start, usher::v1::TailRequest request)
    : hub_(hub),
      callers_(callers),
      caller_(std::move(caller)),
      start_(std::move(start)),
      request_(std::move(request)),
      reader_(std::move(reader)),
      call_(call),
      checked_(hub.clock().mono()) {}

void TailStream::begin() { post_pull(); }

void TailStream::post_pull() {
    // One task a stream at most: the executor's queue has room for all of them.
    const bool queued = hub_.post([self = shared_from_this()](bool stopped) {
        if (stopped) return self->end(stopping());
        try {
            self->pull();
        } catch (const std::exception& e) {
            base::log_error("a tail failed unexpectedly", {{"error", e.what()}});
            self->end(internal_error());
        }
    });
    if (!queued) end(overloaded());
}

base::Result<void> TailStream::start() {
    started_ = true;
    base::Result<void> started;
    // From now on: the record of its own start is the first event that a tail of everything shows.
    if (start_.after)
        started = reader_.start_after(*start_.after, request_.follow());
    else if (start_.since)
        started = reader_.start_since(*start_.since);
    else
        started = reader_.start_now(request_.follow());
    if (!started) return started;
    if (auto ok = record_read(hub_.journal(), caller_, {"audit.tail", "events"}, request_); !ok) return ok;
    std::lock_guard lock(mutex_);
    recorded_ = true;
    if (call_ == nullptr)  // OnDone() has been
        record_tail_end(hub_.journal(), caller_, events_, why_ended_);
    else if (state_ != State::ended)
        StartSendInitialMetadata();
    return {};
}

std::optional<TailView> TailStream::view_now() const {
    const auto now = callers_.again(caller_);
    if (!now || !satisfies(now->role, method("AuditService/Tail").need)) return std::nullopt;
    return view_of(now->role);
}

void TailStream::pull() {
    {
        // Nobody waits for what would be read.
        std::lock_guard lock(mutex_);
        if (state_ == State::ended) return;
    }
    const auto view = view_now();
    if (!view) return end(unauthenticated());
    if (request_.follow() && hub_.store_hangs()) reader_.pause();
    if (!started_) {
        if (auto ok = start(); !ok) return end(to_status(ok.error(), "audit.tail"));
    }
    if (auto others = hub_.watermarks(); others != nullptr && others != known_) {
        reader_.know(*others);
        std::lock_guard lock(mutex_);
        known_ = std::move(others);
    }
    auto batch = reader_.next(request_.follow());
    if (reader_.paused()) hub_.tell_anew();
    if (!batch) return end(to_status(batch.error(), "audit.tail"));
    if (!batch->empty()) {
        const bool at_end = keep_within_bytes(batch->items) && batch->at_end;
        return write(TailBatch(std::move(*batch), *view, form()), at_end && request_.follow());
    }
    if (!batch->at_end) return post_pull();
    if (!request_.follow()) return end(grpc::Status::OK);

    const auto now = hub_.clock().mono();
    bool waits = false;
    {
        std::lock_guard lock(mutex_);
        if (state_ == State::ended) return;
        position_ = reader_.own_position();
        checked_ = now;
        // The first one comes at once: it tells the subscriber where it is.
        waits = last_sent_ && now - *last_sent_ < tail_heartbeat;
        if (waits) state_ = State::waiting;
    }
    if (waits) return wait();
    audit::FleetReader::Batch heartbeat;
    auto& item = heartbeat.items.emplace_back();
    item.set_heartbeat_cursor(reader_.position().to_string());
    for (const auto& [gateway, sequence] : reader_.watermarks()) {
        auto* watermark = item.add_watermarks();
        watermark->set_gateway_id(gateway.to_string());
        watermark->set_sequence(sequence);
    }
    item.set_incomplete(reader_.incomplete());
    write(TailBatch(std::move(heartbeat), *view, form()), true);
}

void TailStream::wait() {
    if (hub_.wake()) return;
    {
        // The hub waits for what comes behind those that it has seen: what came before is not what it wakes for.
        std::lock_guard lock(mutex_);
        if (state_ != State::waiting || hub_.journal().durable_sequence() <= position_) return;
        state_ = State::pulling;
    }
    post_pull();
}

bool TailStream::keep_within_bytes(audit::TailItems& items) {
    std::size_t bytes = 0, kept = 0;
    while (kept < items.size() && ((bytes += items[kept].ByteSizeLong()) <= tail_batch_bytes_max || kept == 0)) ++kept;
    if (kept == items.size()) return true;
    // The rest is read again when it can be sent.
    reader_.unread(items, kept);
    items.resize(kept);
    return false;
}

void TailStream::write(TailBatch batch, bool at_end) {
    std::lock_guard lock(mutex_);
    if (state_ == State::ended) return;
    state_ = State::writing;
    batch_ = std::move(batch);
    at_end_ = at_end;
    position_ = reader_.own_position();
    last_sent_ = checked_ = hub_.clock().mono();
    write_next();
}

void TailStream::write_next() {
    const auto& message = batch_.take();
    events_ += batch_.events();
    write_began_ = hub_.clock().mono();
    grpc::WriteOptions options;
    // gRPC keeps the message until more than 64 KiB of them wait, or until one comes without the hint: the last one.
    if (!batch_.done()) options.set_buffer_hint();
    StartWrite(&message, options);
}

void TailStream::OnWriteDone(bool ok) {
    if (!ok) return end({grpc::StatusCode::CANCELLED, "the subscriber went away"});
    bool distrusted = false, waits = false;
    {
        std::lock_guard lock(mutex_);
        if (state_ == State::ended) return;
        distrusted = distrusted_;
        if (!distrusted && !batch_.done()) return write_next();
        batch_ = {};
        waits = at_end_;
        state_ = waits ? State::waiting : State::pulling;
    }
    if (distrusted) return end(unauthenticated());
    if (waits) return wait();
    post_pull();
}

void TailStream::OnCancel() { end({grpc::StatusCode::CANCELLED, "cancelled"}); }

void TailStream::OnDone() {
    {
        std::lock_guard lock(mutex_);
        call_ = nullptr;
        if (recorded_) record_tail_end(hub_.journal(), caller_, events_, why_ended_);
    }
    hub_.remove(shared_from_this());
}

void TailStream::end(grpc::Status status) {
    std::lock_guard lock(mutex_);
    if (state_ == State::ended) return;
    state_ = State::ended;
    why_ended_ = status.ok() ? "everything was sent" : status.error_message();
    Finish(std::move(status));
}

void TailStream::cut(base::MonoTime now) {
    cut_at_ = now;
    state_ = State::ended;
    why_ended_ = "the subscriber took nothing for " + base::format_duration(hub_.limits().stall);
    call_->AddTrailingMetadata(tail_cursor_key, batch_.cursor());
    // Not in the message as well: a long one is more than the 8 KiB that clients take of both.
    Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
            why_ended_ + "; the cursor to go on from is the trailing metadata " + tail_cursor_key});
    hub_.leave(shared_from_this());
    if (hub_.limits().on_cut) hub_.limits().on_cut();
}

std::optional<std::uint64_t> TailStream::tick(std::uint64_t durable, const Watermarks& others, base::MonoTime now) {
    bool pull_now = false;
    {
        std::lock_guard lock(mutex_);
        const bool check_due = now - checked_ >= tail_recheck;
        if (state_ == State::waiting) {
            const bool heartbeat_due = last_sent_ && now - *last_sent_ >= tail_heartbeat;
            const bool others_due = others != nullptr && others != known_;
            pull_now = durable > position_ || others_due || heartbeat_due || check_due;
            if (!pull_now) return position_;
            state_ = State::pulling;
        } else if (state_ == State::writing && now - write_began_ >= hub_.limits().stall && call_ != nullptr) {
            cut(now);
        } else if (cut_at_ && now - *cut_at_ >= hub_.limits().farewell) {
            if (call_ != nullptr) call_->TryCancel();
            cut_at_.reset();
        } else if (state_ == State::writing && check_due) {
            // A message waits for a subscriber that does not read. Where the caller is gone it gets until the next look
            // to take it; then the call is reset, and what it held with it.
            checked_ = now;
            if (distrusted_ && call_ != nullptr) call_->TryCancel();
            distrusted_ = distrusted_ || !view_now();
        }
    }
    if (pull_now) post_pull();
    return std::nullopt;
}

}  // namespace usher::gateway::control
