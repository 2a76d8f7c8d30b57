#include "gateway/control/tail_edition.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace usher::gateway::control {
namespace {

/// Of a field that is a message: its number and that its length follows.
constexpr std::uint8_t tag_of(int field) { return static_cast<std::uint8_t>(field << 3 | 2); }
constexpr std::uint8_t event_tag = tag_of(usher::v1::TailResponse::kEventFieldNumber);
constexpr std::uint8_t events_tag = tag_of(usher::v1::TailResponse::kEventsFieldNumber);
static_assert(usher::v1::TailResponse::kEventsFieldNumber < 16);  // a tag of one byte

/// What gRPC takes for a message beside its bytes, about.
constexpr std::size_t message_bytes = 400;

/// What a field of TailResponse that is an event of a block is written from.
class Source {
public:
    Source(const audit::EventBlock& block, const audit::CursorFrame& frame, TailView view)
        : block_(block), frame_(frame), view_(view) {}

    /// Before what follows.
    void go_to(std::size_t place) {
        body_ = block_.body(place);
        if (view_ != TailView::full) {
            block_.read(place, event_);
            transform(view_, event_);
            event_.SerializeToString(&changed_);
            body_ = changed_;
        }
        only_cursor_.set_cursor(frame_.around(block_.first() + place));
        only_cursor_.SerializeToString(&cursor_);
    }
    std::size_t size() const { return 1 + CodedOutputStream::VarintSize32(length()) + length(); }
    /// Fields may come in any order, so the cursor comes last.
    std::uint8_t* write(std::uint8_t tag, std::uint8_t* to) const {
        *to++ = tag;
        to = CodedOutputStream::WriteVarint32ToArray(length(), to);
        std::memcpy(to, body_.data(), body_.size());
        std::memcpy(to + body_.size(), cursor_.data(), cursor_.size());
        return to + length();
    }

private:
    using CodedOutputStream = google::protobuf::io::CodedOutputStream;
    std::uint32_t length() const { return static_cast<std::uint32_t>(body_.size() + cursor_.size()); }

    const audit::EventBlock& block_;
    const audit::CursorFrame& frame_;
    const TailView view_;
    usher::v1::AuditEvent event_, only_cursor_;
    std::string changed_, cursor_;
    std::string_view body_;
};

/// What is made of a block is known by these, and by what it is.
std::string key_of(const audit::CursorFrame& frame, TailView view) {
    return static_cast<char>(view) + frame.before + '\n' + frame.behind;
}

}  // namespace

TailEdition::TailEdition(audit::MadeBytes all, std::size_t size, audit::CursorFrame frame, TailView view)
    : Made(std::move(all)), frame_(std::move(frame)), view_(view), messages_(size) {
    // The frame is in the key that it is kept by too.
    grow(sizeof *this + size * sizeof(grpc::ByteBuffer) + 2 * (frame_.before.size() + frame_.behind.size()));
}

std::shared_ptr<const TailEdition> TailEdition::of(const audit::SharedEvents& events, const audit::CursorFrame& frame,
                                                   TailView view) {
    auto made = events.block->made(key_of(frame, view), [&](audit::MadeBytes all) {
        return std::make_shared<const TailEdition>(std::move(all), events.block->size(), frame, view);
    });
    auto edition = std::static_pointer_cast<const TailEdition>(std::move(made));
    edition->make(events);
    return edition;
}

void TailEdition::make(const audit::SharedEvents& events) const {
    const std::lock_guard lock(mutex_);
    Source source(*events.block, frame_, view_);
    for (std::size_t i = events.begin; i < events.end; ++i) {
        const auto place = (*events.picks)[i];
        if (messages_[place].Valid()) continue;
        source.go_to(place);
        grpc::Slice slice(source.size());
        source.write(event_tag, const_cast<std::uint8_t*>(slice.begin()));
        messages_[place] = grpc::ByteBuffer(&slice, 1);
        grow(slice.size() + message_bytes);
    }
}

TailBundle::TailBundle(audit::MadeBytes all, const std::string& key, audit::EventBlock::Picks picks)
    : Made(std::move(all)), picks_(std::move(picks)) {
    grow(sizeof *this + key.size());
}

std::shared_ptr<const TailBundle> TailBundle::of(const audit::SharedEvents& events, const audit::CursorFrame& frame,
                                                 TailView view) {
    // A bundle keeps its picks, so that no others come to have their address while it is kept.
    const std::string key = "bundle " + std::to_string(reinterpret_cast<std::uintptr_t>(events.picks.get())) + ' ' +
                            std::to_string(events.begin) + ' ' + std::to_string(events.end) + ' ' + key_of(frame, view);
    auto made = events.block->made(key, [&](audit::MadeBytes all) {
        return std::make_shared<const TailBundle>(std::move(all), key, events.picks);
    });
    auto bundle = std::static_pointer_cast<const TailBundle>(std::move(made));
    bundle->make(events, frame, view);
    return bundle;
}

void TailBundle::make(const audit::SharedEvents& events, const audit::CursorFrame& frame, TailView view) const {
    const std::lock_guard lock(mutex_);
    if (made_) return;
    auto bytes = std::make_unique<std::string>();
    Source source(*events.block, frame, view);
    for (std::size_t i = events.begin; i < events.end; ++i) {
        source.go_to((*events.picks)[i]);
        const auto before = bytes->size();
        bytes->resize(before + source.size());
        source.write(events_tag, reinterpret_cast<std::uint8_t*>(bytes->data()) + before);
    }
    bytes->shrink_to_fit();
    grow(bytes->size() + message_bytes);
    auto* kept = bytes.release();
    bytes_ = grpc::Slice(
        kept->data(), kept->size(), [](void* text) { delete static_cast<std::string*>(text); }, kept);
    made_ = true;
}

}  // namespace usher::gateway::control
