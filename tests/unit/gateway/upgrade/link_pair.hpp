#pragma once
#include <memory>
#include <string>

#include "catch.hpp"
#include "gateway/upgrade/link.hpp"

/// Both ends of a link between two processes, in one.
struct LinkPair {
    LinkPair() {
        using usher::gateway::upgrade::Link;
        auto ends = Link::make_pair();
        REQUIRE(ends);
        raw = ends->second.get();
        auto a = Link::adopt(std::move(ends->first));
        auto b = Link::adopt(std::move(ends->second));
        REQUIRE(a);
        REQUIRE(b);
        one = std::move(*a);
        other = std::move(*b);
    }
    int raw = -1;  ///< the descriptor of `other`
    std::unique_ptr<usher::gateway::upgrade::Link> one, other;
};

/// What a test waits for a message at most.
inline constexpr usher::base::Microseconds soon{10'000'000};

inline usher::gateway::upgrade::Message failed(const std::string& reason) {
    usher::gateway::upgrade::Message message;
    message.mutable_failed()->set_reason(reason);
    return message;
}
