#include "gateway/control/tail_edition.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/slice.h>

#include <cstring>
#include <stdexcept>
#include <string>

namespace usher::gateway::control {
namespace {

/// Of the field `event` of TailResponse: its number and that its length follows.
constexpr std::uint8_t event_tag = usher::v1::TailResponse::kEventFieldNumber << 3 | 2;

/// What gRPC takes for a message beside its bytes, about.
constexpr std::size_t message_bytes = 400;

/// A TailResponse with an event of these bytes: fields may come in any order, so the cursor comes last.
grpc::ByteBuffer message_of(std::string_view body, const std::string& cursor) {
    using google::protobuf::io::CodedOutputStream;
    const std::size_t length = body.size() + cursor.size();
    const auto size = static_cast<std::uint32_t>(length);
    grpc::Slice slice(1 + CodedOutputStream::VarintSize32(size) + length);
    auto* to = const_cast<std::uint8_t*>(slice.begin());
    *to++ = event_tag;
    to = CodedOutputStream::WriteVarint32ToArray(size, to);
    std::memcpy(to, body.data(), body.size());
    std::memcpy(to + body.size(), cursor.data(), cursor.size());
    return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

TailEdition::TailEdition(audit::MadeBytes all, std::size_t size, audit::CursorFrame frame, TailView view)
    : Made(std::move(all)), frame_(std::move(frame)), view_(view), messages_(size) {
    // The frame is in the key that it is kept by too.
    grow(sizeof *this + size * sizeof(grpc::ByteBuffer) + 2 * (frame_.before.size() + frame_.behind.size()));
}

std::shared_ptr<const TailEdition> TailEdition::of(const audit::SharedEvents& events, const audit::CursorFrame& frame,
                                                   TailView view) {
    const std::string key = static_cast<char>(view) + frame.before + '\n' + frame.behind;
    auto made = events.block->made(key, [&](audit::MadeBytes all) {
        return std::make_shared<const TailEdition>(std::move(all), events.block->size(), frame, view);
    });
    auto edition = std::static_pointer_cast<const TailEdition>(std::move(made));
    edition->make(events);
    return edition;
}

void TailEdition::make(const audit::SharedEvents& events) const {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = events.begin; i < events.end; ++i) {
        const auto place = (*events.picks)[i];
        if (messages_[place].Valid()) continue;
        messages_[place] = make(*events.block, place);
        grow(messages_[place].Length() + message_bytes);
    }
}

grpc::ByteBuffer TailEdition::make(const audit::EventBlock& block, std::size_t place) const {
    usher::v1::AuditEvent cursor;
    cursor.set_cursor(frame_.around(block.first() + place));
    const auto body = block.body(place);
    if (view_ == TailView::full) return message_of(body, cursor.SerializeAsString());
    usher::v1::AuditEvent event;
    if (!event.ParseFromArray(body.data(), static_cast<int>(body.size())))
        throw std::runtime_error("an event that was written into a block cannot be read from it");
    transform(view_, event);
    return message_of(event.SerializeAsString(), cursor.SerializeAsString());
}

}  // namespace usher::gateway::control
