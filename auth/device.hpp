#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"

namespace usher::auth {

/// SHA-256 of a public key as it stands in a certificate (its SubjectPublicKeyInfo, DER). A session is bound to this
/// and not to the certificate (RFC 8705 §3.1 has the certificate's), so that a renewed certificate ends no session.
using DeviceKeyHash = std::array<std::uint8_t, 32>;

enum class DeviceState {
    pending,  ///< signs in, and counts as not enrolled until an administrator approves it
    active,
    locked,   ///< for a while: nothing of it is served
    lost,     ///< as locked, and never unlocked: its key may be in other hands
    unbound,  ///< taken from its account for good; the row stays for those who ask what became of it
};
std::string_view to_word(DeviceState state) noexcept;
std::optional<DeviceState> device_state_from_word(std::string_view word) noexcept;

/// Whether a device in this state may sign in and have sessions.
constexpr bool may_sign_in(DeviceState state) noexcept {
    return state == DeviceState::active || state == DeviceState::pending;
}

/// What an account signs in from, known by a key that it made itself.
struct Device {
    std::string id;  ///< UUIDv7 text; ours
    std::string account_id;
    std::string name;  ///< as its owner called it
    DeviceState state = DeviceState::pending;
    DeviceKeyHash key_sha256{};
    std::string serial;         ///< of its newest certificate; lower-case hexadecimal
    base::UtcTime not_after{};  ///< of its newest certificate
    base::UtcTime created_at{}, updated_at{};
    friend bool operator==(const Device&, const Device&) = default;
};

/// The devices at one moment. Immutable; shared by all threads.
class DeviceSnapshot {
public:
    DeviceSnapshot() = default;
    DeviceSnapshot(const DeviceSnapshot&) = delete;  ///< the indexes point into the object itself
    DeviceSnapshot& operator=(const DeviceSnapshot&) = delete;
    DeviceSnapshot(std::uint64_t version, std::vector<Device> devices);

    std::uint64_t version() const noexcept { return version_; }
    const Device* by_id(std::string_view id) const noexcept;
    const Device* by_key(const DeviceKeyHash& hash) const noexcept;
    const std::vector<Device>& devices() const noexcept { return devices_; }  ///< by id

private:
    struct Hash {
        // The hash is uniform already.
        std::size_t operator()(const DeviceKeyHash& hash) const noexcept;
    };
    std::uint64_t version_ = 0;
    std::vector<Device> devices_;
    std::unordered_map<std::string_view, const Device*> by_id_;
    std::unordered_map<DeviceKeyHash, const Device*, Hash> by_key_;
};
using DevicesNow = std::shared_ptr<const DeviceSnapshot>;

}  // namespace usher::auth
