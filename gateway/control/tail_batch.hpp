#pragma once
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "audit/fleet_reader.hpp"
#include "gateway/control/tail_edition.hpp"
#include "gateway/control/tail_view.hpp"

namespace usher::gateway::control {

/// A message of many events has so many bytes, or one event that is larger: a subscriber has to take one whole within
/// the time after which it counts as stalled.
inline constexpr std::size_t tail_message_bytes = 32u << 10;

/// One event a message, or all those that are there together, up to tail_message_bytes.
enum class TailForm { single, batched };

/// Messages that one subscriber is to be sent, one after the other: its own, or those that it shares with others.
class TailBatch {
public:
    TailBatch() = default;
    TailBatch(audit::FleetReader::Batch batch, TailView view, TailForm form);
    TailBatch(TailBatch&&) = default;
    TailBatch& operator=(TailBatch&&) = default;

    bool done() const noexcept { return next_ == messages_.size(); }
    /// The next one; it stays where it is until the batch goes. Not when it is done().
    const grpc::ByteBuffer& take() noexcept { return *messages_[next_++].bytes; }
    /// Of the one that was taken last.
    std::size_t events() const noexcept { return messages_[next_ - 1].events; }
    std::string cursor() const;

private:
    struct Message {
        const grpc::ByteBuffer* bytes;
        std::uint64_t sequence;  ///< of its last event, where that is shared
        std::size_t events;      ///< how many are in it
    };
    void add_own(const usher::v1::TailResponse& item);
    void add_each(const audit::SharedEvents& events, TailView view);
    void add_together(const std::vector<audit::SharedEvents>& shared, TailView view);

    std::vector<Message> messages_;
    std::size_t next_ = 0;
    std::vector<std::shared_ptr<const TailEdition>> editions_;
    std::vector<grpc::ByteBuffer> own_;
    audit::CursorFrame frame_;
    std::vector<std::string> cursors_;  ///< of its own messages; else they are in frame_
};

}  // namespace usher::gateway::control
