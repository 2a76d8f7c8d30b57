#include "auth/device.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace usher::auth {

namespace {
constexpr std::pair<DeviceState, std::string_view> words[] = {{DeviceState::pending, "pending"},
                                                              {DeviceState::active, "active"},
                                                              {DeviceState::locked, "locked"},
                                                              {DeviceState::lost, "lost"},
                                                              {DeviceState::unbound, "unbound"}};
}

std::string_view to_word(DeviceState state) noexcept {
    for (const auto& [each, word] : words)
        if (each == state) return word;
    return {};
}

std::optional<DeviceState> device_state_from_word(std::string_view word) noexcept {
    for (const auto& [state, each] : words)
        if (each == word) return state;
    return std::nullopt;
}

std::size_t DeviceSnapshot::Hash::operator()(const DeviceKeyHash& hash) const noexcept {
    std::size_t first = 0;
    std::memcpy(&first, hash.data(), sizeof first);
    return first;
}

DeviceSnapshot::DeviceSnapshot(std::uint64_t version, std::vector<Device> devices)
    : version_(version), devices_(std::move(devices)) {
    std::sort(devices_.begin(), devices_.end(), [](const Device& a, const Device& b) { return a.id < b.id; });
    for (const auto& device : devices_) {
        by_id_.emplace(device.id, &device);
        by_key_.emplace(device.key_sha256, &device);
    }
}

const Device* DeviceSnapshot::by_id(std::string_view id) const noexcept {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

const Device* DeviceSnapshot::by_key(const DeviceKeyHash& hash) const noexcept {
    const auto found = by_key_.find(hash);
    return found == by_key_.end() ? nullptr : found->second;
}

}  // namespace usher::auth
