#pragma once
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "audit/event_block.hpp"
#include "audit/fleet_reader.hpp"
#include "gateway/control/tail_view.hpp"

namespace usher::gateway::control {

/// The events of a block as messages of a tail, made once for all whose cursors and view are the same: gRPC sends the
/// same bytes to each. Thread-safe.
class TailEdition final : public audit::EventBlock::Made {
public:
    /// That of the block, with those of `events` made.
    static std::shared_ptr<const TailEdition> of(const audit::SharedEvents& events, const audit::CursorFrame& frame,
                                                 TailView view);
    TailEdition(audit::MadeBytes all, std::size_t size, audit::CursorFrame frame, TailView view);

    /// One that of() was asked for.
    const grpc::ByteBuffer& message(std::size_t place) const { return messages_[place]; }

private:
    void make(const audit::SharedEvents& events) const;

    const audit::CursorFrame frame_;
    const TailView view_;
    mutable std::mutex mutex_;  ///< of those that are not made yet
    mutable std::vector<grpc::ByteBuffer> messages_;
};

/// Events of a block as a message of a tail or a part of one, made once for all who are sent just these with the same
/// cursors and view. Thread-safe.
class TailBundle final : public audit::EventBlock::Made {
public:
    /// That of `events`, of which there is at least one.
    static std::shared_ptr<const TailBundle> of(const audit::SharedEvents& events, const audit::CursorFrame& frame,
                                                TailView view);
    /// Kept by `key`; empty until make().
    TailBundle(audit::MadeBytes all, const std::string& key, audit::EventBlock::Picks picks);

    /// The field `events` of TailResponse, as often as there are events.
    const grpc::Slice& bytes() const noexcept { return bytes_; }

private:
    void make(const audit::SharedEvents& events, const audit::CursorFrame& frame, TailView view) const;

    const audit::EventBlock::Picks picks_;  ///< whose address is in the key
    mutable std::mutex mutex_;              ///< until it is made
    mutable grpc::Slice bytes_;
    mutable bool made_ = false;
};

}  // namespace usher::gateway::control
