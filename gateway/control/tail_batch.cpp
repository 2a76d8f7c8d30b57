#include "gateway/control/tail_batch.hpp"

#include <grpcpp/support/slice.h>

#include <utility>

namespace usher::gateway::control {
namespace {

using usher::v1::TailResponse;

/// Of an event in a message beside its bytes and what stands around the sequence in its cursor, at most.
constexpr std::size_t each_bytes = 36;

/// Behind an item of the stream.
const std::string& cursor_of(const TailResponse& item) {
    if (item.events_size() > 0) return item.events().rbegin()->cursor();
    switch (item.item_case()) {
        case TailResponse::kEvent:
            return item.event().cursor();
        case TailResponse::kGap:
            return item.gap().cursor();
        default:
            return item.heartbeat_cursor();
    }
}

grpc::ByteBuffer bytes_of(const TailResponse& item) {
    grpc::Slice slice(item.ByteSizeLong());
    item.SerializeWithCachedSizesToArray(const_cast<std::uint8_t*>(slice.begin()));
    return grpc::ByteBuffer(&slice, 1);
}

/// Whether the edition is kept for what is taken of it. Of one that is mostly somebody else's a subscriber that stalls
/// would hold all; then the buffers are copied, which costs a message a tenth more.
bool refers(const audit::SharedEvents& events) { return (events.end - events.begin) * 4 >= events.block->size(); }

}  // namespace

TailBatch::TailBatch(audit::FleetReader::Batch batch, TailView view, TailForm form) : frame_(std::move(batch.frame)) {
    const bool single = form == TailForm::single;
    std::size_t own = batch.items.size();
    // As many messages as there are events, at most.
    for (const auto& events : batch.shared) own += single && refers(events) ? 0 : events.end - events.begin;
    own_.reserve(own);  // whose places are pointed to
    TailResponse together;
    std::size_t bytes = 0;
    const auto add_collected = [&] {
        if (together.events_size() > 0) add_own(together);
        together.clear_events();
        bytes = 0;
    };
    for (auto& item : batch.items) {
        if (item.has_event()) transform(view, *item.mutable_event());
        if (!item.has_event() || single) {
            add_collected();
            add_own(item);
            continue;
        }
        const auto size = item.event().ByteSizeLong();
        if (bytes + size > tail_message_bytes) add_collected();
        bytes += size;
        *together.add_events() = std::move(*item.mutable_event());
    }
    add_collected();
    if (single) {
        for (const auto& events : batch.shared) add_each(events, view);
    } else {
        add_together(batch.shared, view);
    }
}

void TailBatch::add_own(const TailResponse& item) {
    own_.push_back(bytes_of(item));
    const auto events = static_cast<std::size_t>(item.events_size()) + (item.has_event() ? 1 : 0);
    messages_.push_back({&own_.back(), 0, events});
    cursors_.push_back(cursor_of(item));
}

void TailBatch::add_each(const audit::SharedEvents& events, TailView view) {
    const auto edition = TailEdition::of(events, frame_, view);
    const bool refer = refers(events);
    if (refer) editions_.push_back(edition);
    for (std::size_t i = events.begin; i < events.end; ++i) {
        const auto place = (*events.picks)[i];
        const auto* message = &edition->message(place);
        if (!refer) message = &own_.emplace_back(*message);
        messages_.push_back({message, events.block->first() + place, 1});
    }
}

void TailBatch::add_together(const std::vector<audit::SharedEvents>& shared, TailView view) {
    const auto each = frame_.before.size() + frame_.behind.size() + each_bytes;
    std::vector<grpc::Slice> slices;
    Message message{nullptr, 0, 0};
    std::size_t bytes = 0;
    const auto finish = [&] {
        // Repeated fields that follow each other in the bytes are one field. The slices are referred to, and what they
        // were made for is not kept by who stalls.
        if (message.events > 0) {
            message.bytes = &own_.emplace_back(slices.data(), slices.size());
            messages_.push_back(message);
        }
        slices.clear();
        message = {nullptr, 0, 0};
        bytes = 0;
    };
    for (const auto& events : shared) {
        auto part = events;
        for (; part.begin < events.end; part.begin = part.end) {
            // The same parts for all who are sent the block from the same place on, whatever lies before it.
            std::size_t size = 0;
            for (part.end = part.begin; part.end < events.end; ++part.end) {
                const auto more = events.block->body((*events.picks)[part.end]).size() + each;
                if (size + more > tail_message_bytes && size > 0) break;
                size += more;
            }
            if (bytes + size > tail_message_bytes) finish();
            bytes += size;
            slices.push_back(TailBundle::of(part, frame_, view)->bytes());
            message.sequence = events.block->first() + (*events.picks)[part.end - 1];
            message.events += part.end - part.begin;
        }
    }
    finish();
}

std::string TailBatch::cursor() const {
    // Its own come first.
    return next_ > cursors_.size() ? frame_.around(messages_[next_ - 1].sequence) : cursors_[next_ - 1];
}

}  // namespace usher::gateway::control
