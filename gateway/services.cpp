#include "gateway/services.hpp"

namespace usher::gateway {

const char* ConnectionLimits::enter(const std::string& ip) {
    std::lock_guard lock(mutex_);
    if (total_ >= limits_.connections) return "connections";
    auto& count = by_address_[ip];
    if (count >= limits_.connections_per_address) return "connections_per_address";
    ++count;
    ++total_;
    return nullptr;
}

void ConnectionLimits::leave(const std::string& ip) {
    std::lock_guard lock(mutex_);
    --total_;
    const auto found = by_address_.find(ip);
    if (found != by_address_.end() && --found->second == 0) by_address_.erase(found);
}

}  // namespace usher::gateway
