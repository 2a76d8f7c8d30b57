#include "gateway/control/tail_batch.hpp"

#include <grpcpp/support/slice.h>

#include <utility>

namespace usher::gateway::control {
namespace {

using usher::v1::TailResponse;

/// Behind an item of the stream.
const std::string& cursor_of(const TailResponse& item) {
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

TailBatch::TailBatch(audit::FleetReader::Batch batch, TailView view) : frame_(std::move(batch.frame)) {
    std::size_t own = batch.items.size();
    for (const auto& events : batch.shared) own += refers(events) ? 0 : events.end - events.begin;
    own_.reserve(own);  // whose places are pointed to
    for (auto& item : batch.items) add(item, view);
    for (const auto& events : batch.shared) add(events, view);
}

void TailBatch::add(TailResponse& item, TailView view) {
    if (item.has_event()) transform(view, *item.mutable_event());
    own_.push_back(bytes_of(item));
    messages_.push_back({&own_.back(), 0, item.has_event()});
    cursors_.push_back(cursor_of(item));
}

void TailBatch::add(const audit::SharedEvents& events, TailView view) {
    const auto edition = TailEdition::of(events, frame_, view);
    const bool refer = refers(events);
    if (refer) editions_.push_back(edition);
    for (std::size_t i = events.begin; i < events.end; ++i) {
        const auto place = (*events.picks)[i];
        const auto* message = &edition->message(place);
        if (!refer) message = &own_.emplace_back(*message);
        messages_.push_back({message, events.block->first() + place, true});
    }
}

std::string TailBatch::cursor() const {
    return cursors_.empty() ? frame_.around(messages_[next_ - 1].sequence) : cursors_[next_ - 1];
}

}  // namespace usher::gateway::control
