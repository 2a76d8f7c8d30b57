#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>

#include "auth/sessions.hpp"
#include "gateway/config.hpp"
#include "gateway/limits/source.hpp"

namespace usher::gateway::limits {

class TunnelLimits;

/// One tunnel that is counted, from its admission on; it is not any more when this is gone, whatever way it ended.
class TunnelSlot {
public:
    TunnelSlot(TunnelSlot&& other) noexcept
        : limits_(std::exchange(other.limits_, nullptr)), account_(other.account_), device_(other.device_) {}
    TunnelSlot& operator=(TunnelSlot&&) = delete;
    ~TunnelSlot();

private:
    friend class TunnelLimits;
    using Count = std::pair<const std::string, std::size_t>;
    TunnelSlot(TunnelLimits& limits, Count* account, Count* device) noexcept
        : limits_(&limits), account_(account), device_(device) {}
    TunnelLimits* limits_;
    Count* account_;
    Count* device_;
};

/// Counts open tunnels by account and by device, over all connections and workers. A device is what a session says that
/// it is, within its account; a session that does not say is a device of its own. So the device's limit keeps one
/// broken machine from using up its owner's share, and the account's is the one that holds against whoever lies.
/// Thread-safe: an account's shard is locked for a look-up when a tunnel is admitted and when it is over, never in
/// between. Must outlive its slots.
class TunnelLimits {
public:
    explicit TunnelLimits(const Config::Limits& limits)
        : per_account_(limits.tunnels_per_account), per_device_(limits.tunnels_per_device) {}

    /// A slot, or the configuration's key of the limit that says no.
    std::variant<TunnelSlot, const char*> enter(const auth::Session& session);

    /// Accounts and devices with an open tunnel.
    std::size_t keys() const;

private:
    friend class TunnelSlot;
    struct Shard {
        mutable std::mutex mutex;
        std::unordered_map<std::string, std::size_t, KeyedHash> counts;
    };
    Shard& shard_of(std::string_view account_id) noexcept { return shards_[hash_(account_id) % shards_.size()]; }
    void leave(TunnelSlot::Count* account, TunnelSlot::Count* device) noexcept;

    const std::size_t per_account_, per_device_;
    KeyedHash hash_;
    std::array<Shard, 16> shards_;
};

}  // namespace usher::gateway::limits
