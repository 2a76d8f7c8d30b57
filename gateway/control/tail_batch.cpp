#include "gateway/control/tail_batch.hpp"

#include <grpcpp/support/slice.h>

#include <utility>

namespace usher::gateway::control {
namespace {

using usher::v1::TailResponse;

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
    std::size_t own = batch.items.size() + 1;
    for (const auto& events : batch.shared) own += single && !refers(events) ? events.end - events.begin : 0;
    own_.reserve(own);  // whose places are pointed to
    TailResponse together;
    const auto add_collected = [&] {
        if (together.events_size() > 0) add_own(together);
        together.clear_events();
    };
    for (auto& item : batch.items) {
        if (item.has_event()) transform(view, *item.mutable_event());
        if (item.has_event() && !single) {
            *together.add_events() = std::move(*item.mutable_event());
            continue;
        }
        add_collected();
        add_own(item);
    }
    add_collected();
    if (!single) return add_together(batch.shared, view);
    for (const auto& events : batch.shared) add_each(events, view);
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
    if (refer) kept_.push_back(edition);
    for (std::size_t i = events.begin; i < events.end; ++i) {
        const auto place = (*events.picks)[i];
        const auto* message = &edition->message(place);
        if (!refer) message = &own_.emplace_back(*message);
        messages_.push_back({message, events.block->first() + place, 1});
    }
}

void TailBatch::add_together(const std::vector<audit::SharedEvents>& shared, TailView view) {
    std::vector<std::shared_ptr<const TailBundle>> bundles;
    Message message{nullptr, 0, 0};
    for (const auto& events : shared) {
        if (events.begin == events.end) continue;
        bundles.push_back(TailBundle::of(events, frame_, view));
        message.sequence = events.block->first() + (*events.picks)[events.end - 1];
        message.events += events.end - events.begin;
    }
    if (bundles.empty()) return;
    if (bundles.size() == 1) {
        message.bytes = &bundles.front()->message();
        kept_.push_back(std::move(bundles.front()));
    } else {
        // Repeated fields that follow each other in the bytes are one field.
        std::vector<grpc::Slice> slices;
        for (const auto& bundle : bundles) slices.push_back(bundle->bytes());
        message.bytes = &own_.emplace_back(slices.data(), slices.size());
    }
    messages_.push_back(message);
}

std::string TailBatch::cursor() const {
    return cursors_.empty() ? frame_.around(messages_[next_ - 1].sequence) : cursors_[next_ - 1];
}

}  // namespace usher::gateway::control
