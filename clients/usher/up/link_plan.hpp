#pragma once
#include <cstddef>
#include <span>

#include "clients/usher/up/backoff.hpp"

namespace usher::clients::agent {

/// At most so many connections to the gateway take new tunnels, and at most so many more live on for those that they
/// have.
constexpr std::size_t links_limit = 4, retiring_links_limit = 4;

/// A connection to the gateway, as the plan sees it.
struct LinkView {
    bool may_open = false;  ///< it takes another stream now
    bool retiring = false;  ///< it takes none ever again
};

/// What a request for a tunnel is to do next.
struct LinkChoice {
    enum class Kind {
        use,          ///< open a stream on link `index`
        dial,         ///< begin a new connection, then wait
        wait,         ///< until something changes, or until `until`
        unreachable,  ///< refuse: there is no connection, and none will be tried in time
        busy,         ///< refuse: every connection is full
    };
    Kind kind = Kind::wait;
    std::size_t index = 0;
    base::MonoTime until{};
};

/// Decides for one request that waits until `deadline` at most. The first link that takes a stream is used, so that
/// further ones are made only when the gateway's bound of streams is reached, and fall idle first. Pure.
LinkChoice choose_link(std::span<const LinkView> links, bool dialing, const Backoff& backoff, base::MonoTime now,
                       base::MonoTime deadline);

}  // namespace usher::clients::agent
