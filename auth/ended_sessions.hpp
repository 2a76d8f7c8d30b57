#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "auth/sessions.hpp"

namespace usher::auth {

/// Why the sessions that ended last did, by their token's hash: whoever shows such a token was signed in by it, and may
/// be told what became of that. In memory only, the last `limit` of them. Thread-safe.
class EndedSessions {
public:
    using TokenHash = std::array<std::uint8_t, 32>;

    explicit EndedSessions(std::size_t limit = 10'000) : limit_(limit) {}

    void remember(const Session& session, SessionEnd why) {
        std::lock_guard lock(mutex_);
        if (!known_.try_emplace(session.token_sha256, EndedSession{why, session.account_id}).second) return;
        order_.push_back(session.token_sha256);
        if (order_.size() <= limit_) return;
        known_.erase(order_.front());
        order_.pop_front();
    }

    std::optional<EndedSession> find(const TokenHash& hash) const {
        std::lock_guard lock(mutex_);
        const auto found = known_.find(hash);
        return found == known_.end() ? std::nullopt : std::optional(found->second);
    }

private:
    const std::size_t limit_;
    mutable std::mutex mutex_;
    std::map<TokenHash, EndedSession> known_;  ///< by a hash of 256 random bits: an order tells a stranger nothing
    std::deque<TokenHash> order_;              ///< oldest first
};

}  // namespace usher::auth
