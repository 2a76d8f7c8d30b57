#pragma once
#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "clients/posture/screen_lock.hpp"
#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// What this device may say of itself, in reports while a session lives; those from device_name on at the sign-in too.
enum class PostureField : std::uint8_t {
    os,
    os_version,
    agent_version,
    device_uid,
    time_zone,
    network_type,
    storage_bytes,
    storage_free_bytes,
    battery_percent,
    screen,
    disk_encrypted,
    firewall,
    screen_lock,
    device_name,
    brand,
    model,
    os_name,
    language,
};
constexpr std::size_t posture_field_count = 18;
using PostureFields = std::bitset<posture_field_count>;

struct PostureFieldInfo {
    PostureField field;
    std::string_view name;    ///< in the report, on the command line and in the settings
    std::string_view source;  ///< where it is read, in words for the device's user
    bool at_sign_in = false;  ///< too; gateways of before reports had names know it from there alone
};
/// In the order of the enum.
std::span<const PostureFieldInfo, posture_field_count> posture_field_infos();
std::optional<PostureField> posture_field_named(std::string_view name);

constexpr std::size_t index_of(PostureField field) { return static_cast<std::size_t>(field); }

/// Values as they are sent; an empty one is not known. The device's uid is made from `machine_id` only when a report is
/// made, with the key of the tenant to whom it goes.
struct Posture {
    std::array<std::string, posture_field_count> values;
    std::string machine_id;

    std::string& operator[](PostureField field) { return values[index_of(field)]; }
    const std::string& operator[](PostureField field) const { return values[index_of(field)]; }
    friend bool operator==(const Posture&, const Posture&) = default;
};

/// Reads what is reported and was not declined: a few dozen small files, and
/// what `lock` has to ask for, which it does not where that was declined; that ends at once when `stop` is set. Never
/// fails, and waits for nothing but these.
Posture collect_posture(const SystemTree& tree, ScreenLock& lock, const PostureFields& declined,
                        const StopSignal* stop = nullptr);
/// `posture` without the fields in `declined`; without device_uid there is no machine id in it either.
Posture without(Posture posture, const PostureFields& declined);

/// The key of the tenant for which a device's uid is made: 32 bytes that the gateway gives to those who signed in.
using TenantKey = std::array<std::uint8_t, 32>;
/// 43 characters of base64url (RFC 4648 §5) without padding; nullopt for anything else.
std::optional<TenantKey> parse_tenant_key(std::string_view text);
/// Lower-case hexadecimal HMAC-SHA-256 (RFC 2104) of "usher device uid v1\n" and the machine id: the same for a machine
/// in one enterprise, another one in the next, and no way back to the machine id without trying all 2^122 of them.
/// Throws std::runtime_error where OpenSSL has no SHA-256.
std::string device_uid(const TenantKey& tenant, std::string_view machine_id);

/// `posture` as it goes to a gateway of `tenant`: the uid in, the machine id out.
Posture addressed(Posture posture, const TenantKey& tenant);
/// The body of a report: one flat JSON object of strings; what is not known is left out. At most 8 KiB. `of_before`:
/// without what older gateways refuse in it.
std::string posture_body(const Posture& posture, bool of_before = false);

}  // namespace usher::clients
