#pragma once
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <mutex>
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
    grpc::ByteBuffer make(const audit::EventBlock& block, std::size_t place) const;

    const audit::CursorFrame frame_;
    const TailView view_;
    mutable std::mutex mutex_;  ///< of those that are not made yet
    mutable std::vector<grpc::ByteBuffer> messages_;
};

}  // namespace usher::gateway::control
