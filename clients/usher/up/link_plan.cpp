#include "clients/usher/up/link_plan.hpp"

namespace usher::clients::agent {

LinkChoice choose_link(std::span<const LinkView> links, bool dialing, const Backoff& backoff, base::MonoTime now,
                       base::MonoTime deadline) {
    using Kind = LinkChoice::Kind;
    std::size_t retiring = 0;
    for (std::size_t i = 0; i < links.size(); ++i) {
        if (links[i].may_open) return {Kind::use, i, {}};
        if (links[i].retiring) ++retiring;
    }
    const std::size_t serving = links.size() - retiring;
    const bool full = serving >= links_limit || retiring >= retiring_links_limit;
    if (now >= deadline) return {full || serving > 0 ? Kind::busy : Kind::unreachable, 0, {}};
    if (dialing || full) return {Kind::wait, 0, deadline};
    if (backoff.next() <= now) return {Kind::dial, 0, {}};
    if (backoff.next() < deadline) return {Kind::wait, 0, backoff.next()};
    // Links that are full may have room again in time.
    return serving > 0 ? LinkChoice{Kind::wait, 0, deadline} : LinkChoice{Kind::unreachable, 0, {}};
}

}  // namespace usher::clients::agent
