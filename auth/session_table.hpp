#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/sessions.hpp"

namespace usher::auth {

/// The live sessions in memory: by token for the data path, in 64 shards, and by id and account for everybody else.
/// Thread-safe. Knows nothing of time, the database or why a session ends.
class SessionTable {
public:
    using TokenHash = std::array<std::uint8_t, 32>;

    void insert(const SessionPtr& session);
    /// Marks it ended and takes it out. True for the one caller that did; false when it had ended before.
    bool end(const SessionPtr& session);

    /// Locks one shard for the length of a look-up. Compares in constant time.
    SessionPtr by_token(const TokenHash& hash) const noexcept;
    SessionPtr by_id(std::string_view id) const;
    std::vector<SessionPtr> of_account(const std::string& account_id) const;  ///< oldest first
    bool has(const std::string& account_id, std::string_view client_ip) const;
    /// By id, at most `limit`, behind `after_id`.
    std::vector<SessionPtr> page(std::string_view after_id, std::size_t limit) const;
    std::size_t size() const;

private:
    struct Hash {
        // The hash is uniform already.
        std::size_t operator()(const TokenHash& hash) const noexcept;
    };
    struct Equal {
        bool operator()(const TokenHash& a, const TokenHash& b) const noexcept;
    };
    struct Shard {
        mutable std::mutex mutex;
        std::unordered_map<TokenHash, SessionPtr, Hash, Equal> sessions;
    };
    static constexpr std::size_t shard_count = 64;
    const Shard& shard(const TokenHash& hash) const noexcept { return shards_[hash[31] % shard_count]; }
    Shard& shard(const TokenHash& hash) noexcept { return shards_[hash[31] % shard_count]; }

    std::array<Shard, shard_count> shards_;
    mutable std::shared_mutex index_mutex_;
    std::map<std::string_view, SessionPtr> by_id_;  ///< the keys are the sessions' own
    std::unordered_map<std::string, std::vector<SessionPtr>> by_account_;
};

}  // namespace usher::auth
