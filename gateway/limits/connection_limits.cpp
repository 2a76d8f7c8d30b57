#include "gateway/limits/connection_limits.hpp"

namespace usher::gateway::limits {

ConnectionSlot::~ConnectionSlot() {
    if (limits_ != nullptr) limits_->leave(source_);
}

std::variant<ConnectionSlot, const char*> ConnectionLimits::enter(const base::IpAddress& address, base::MonoTime now) {
    const Source source(address);
    const std::lock_guard lock(mutex_);
    if (total_ >= limits_.connections) return "connections";
    for (const auto& [key, factor] : source.networks()) {
        const auto found = by_network_.find(key);
        if (found != by_network_.end() && found->second >= limits_.connections_per_address * factor)
            return "connections_per_address";
    }
    if (!handshakes_.take(source, now)) return "handshakes_per_second";
    ++total_;
    ConnectionSlot slot(*this, source);
    slot.limits_ = nullptr;  // until it is counted: by_network_ may throw for want of memory
    std::size_t counted = 0;
    try {
        for (const auto& network : source.networks()) {
            ++by_network_[network.key];
            ++counted;
        }
    } catch (...) {
        // Nothing may stay counted; the caller's connection ends with the exception.
        --total_;
        for (std::size_t i = 0; i < counted; ++i) --by_network_.find(source.networks()[i].key)->second;
        throw;
    }
    slot.limits_ = this;
    return slot;
}

void ConnectionLimits::leave(const Source& source) noexcept {
    const std::lock_guard lock(mutex_);
    --total_;
    for (const auto& network : source.networks()) {
        const auto found = by_network_.find(network.key);
        if (found != by_network_.end() && --found->second == 0) by_network_.erase(found);
    }
}

std::size_t ConnectionLimits::open() const {
    const std::lock_guard lock(mutex_);
    return total_;
}

}  // namespace usher::gateway::limits
