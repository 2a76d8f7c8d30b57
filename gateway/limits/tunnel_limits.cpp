#include "gateway/limits/tunnel_limits.hpp"

namespace usher::gateway::limits {
namespace {

/// Keys of devices begin with their account's, and a byte that no id has.
std::string device_key(const auth::Session& session) {
    const bool named = !session.device.device_id.empty();
    return session.account_id + (named ? "\ndevice\n" + session.device.device_id : "\nsession\n" + session.id);
}

}  // namespace

TunnelSlot::~TunnelSlot() {
    if (limits_ != nullptr) limits_->leave(account_, device_);
}

std::variant<TunnelSlot, const char*> TunnelLimits::enter(const auth::Session& session) {
    Shard& shard = shard_of(session.account_id);
    std::string device = device_key(session);
    const std::lock_guard lock(shard.mutex);
    const auto count = [&](const std::string& key) {
        const auto found = shard.counts.find(key);
        return found == shard.counts.end() ? 0 : found->second;
    };
    if (count(session.account_id) >= per_account_) return "tunnels_per_account";
    if (count(device) >= per_device_) return "tunnels_per_device";
    // Both entries first, for either may throw for want of memory: one that stays at zero is an account's, and is used
    // again or goes with its next tunnel.
    auto& of_account = *shard.counts.try_emplace(session.account_id, 0).first;
    auto& of_device = *shard.counts.try_emplace(std::move(device), 0).first;
    ++of_account.second;
    ++of_device.second;
    return TunnelSlot(*this, &of_account, &of_device);
}

void TunnelLimits::leave(TunnelSlot::Count* account, TunnelSlot::Count* device) noexcept {
    Shard& shard = shard_of(account->first);
    const std::lock_guard lock(shard.mutex);
    for (auto* key : {device, account})
        if (--key->second == 0) shard.counts.erase(shard.counts.find(key->first));
}

std::size_t TunnelLimits::keys() const {
    std::size_t sum = 0;
    for (const auto& shard : shards_) {
        const std::lock_guard lock(shard.mutex);
        sum += shard.counts.size();
    }
    return sum;
}

}  // namespace usher::gateway::limits
