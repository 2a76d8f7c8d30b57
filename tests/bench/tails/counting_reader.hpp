#pragma once
#include <cstdint>
#include <string>

#include "usher/v1/audit.pb.h"

namespace usher::bench {

/// What a subscriber that only counts has read.
struct Counted {
    std::uint64_t events = 0;
    bool wrong = false;  ///< the stream ended early, or was none of TailResponse
};

/// A tail whose events are counted and not looked at: HTTP/2 and the frames of gRPC are read, of a message no more than
/// where its events begin. It costs a fraction of what gRPC's own client and decoding do, so that many of them leave
/// the gateway the processor that subscribers on other machines would. Calls `begun` with the first heartbeat; ends at
/// `events`. Blocks.
Counted count_tail(const std::string& unix_socket, const v1::TailRequest& request, std::uint64_t events,
                   void (*begun)(void*), void* with);

}  // namespace usher::bench
