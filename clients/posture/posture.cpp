#include "clients/posture/posture.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <stdexcept>

#include "base/text.hpp"
#include "clients/posture/device_claims.hpp"
#include "clients/posture/disk_encryption.hpp"
#include "clients/posture/firewall.hpp"
#include "clients/posture/hardware_facts.hpp"
#include "clients/posture/network_type.hpp"
#include "clients/posture/system_facts.hpp"

namespace usher::clients {

namespace {

using Field = PostureField;

constexpr std::array<PostureFieldInfo, posture_field_count> infos{{
    {Field::os, "os", "ID of /etc/os-release"},
    {Field::os_version, "os_version", "VERSION_ID of /etc/os-release"},
    {Field::agent_version, "agent_version", "this program"},
    {Field::device_uid, "device_uid", "HMAC of /etc/machine-id under your enterprise's key"},
    {Field::time_zone, "time_zone", "/etc/localtime, else /etc/timezone"},
    {Field::network_type, "network_type", "the default route's interface, /sys/class/net"},
    {Field::storage_bytes, "storage_bytes", "the file system of /"},
    {Field::storage_free_bytes, "storage_free_bytes", "the file system of /, in whole GiB"},
    {Field::battery_percent, "battery_percent", "/sys/class/power_supply, rounded to 10"},
    {Field::screen, "screen", "/sys/class/drm, the largest one connected"},
    {Field::disk_encrypted, "disk_encrypted", "the devices below /, /sys/dev/block"},
    {Field::firewall, "firewall", "ufw, firewalld, nftables, and the kernel's modules"},
    {Field::screen_lock, "screen_lock", "what GNOME, Cinnamon, MATE or Plasma is set to"},
    {Field::device_name, "device_name", "the host's name", true},
    {Field::brand, "brand", "/sys/class/dmi/id/sys_vendor", true},
    {Field::model, "model", "/sys/class/dmi/id/product_name", true},
    {Field::os_name, "os_name", "PRETTY_NAME of /etc/os-release", true},
    {Field::language, "language", "LC_ALL, LC_MESSAGES or LANG", true},
}};

constexpr bool in_order() {
    for (std::size_t i = 0; i < infos.size(); ++i)
        if (index_of(infos[i].field) != i) return false;
    return true;
}
static_assert(in_order(), "the table has the order of the enum");

std::string yes_or_no(std::optional<bool> known) {
    if (!known) return {};
    return *known ? "yes" : "no";
}

}  // namespace

std::span<const PostureFieldInfo, posture_field_count> posture_field_infos() { return infos; }

std::optional<PostureField> posture_field_named(std::string_view name) {
    for (const auto& info : infos)
        if (info.name == name) return info.field;
    return std::nullopt;
}

Posture collect_posture(const SystemTree& tree, ScreenLock& lock, const PostureFields& declined,
                        const StopSignal* stop) {
    Posture posture;
    auto system = system_name(tree);
    posture[Field::os] = std::move(system.id);
    posture[Field::os_version] = std::move(system.version);
    posture[Field::agent_version] = USHER_VERSION;
    posture[Field::time_zone] = time_zone(tree);
    posture[Field::network_type] = network_type(tree);
    if (const auto space = storage(tree)) {
        posture[Field::storage_bytes] = std::to_string(space->bytes);
        posture[Field::storage_free_bytes] = std::to_string(space->free_bytes);
    }
    if (const auto percent = battery_percent(tree)) posture[Field::battery_percent] = std::to_string(*percent);
    posture[Field::screen] = screen(tree);
    posture[Field::disk_encrypted] = yes_or_no(disk_encrypted(tree));
    posture[Field::firewall] = yes_or_no(firewall(tree));
    if (!declined[index_of(Field::screen_lock)]) posture[Field::screen_lock] = yes_or_no(lock.look(tree, stop));
    auto names = device_claims(tree);
    posture[Field::device_name] = std::move(names.name);
    posture[Field::brand] = std::move(names.brand);
    posture[Field::model] = std::move(names.model);
    posture[Field::os_name] = std::move(names.os);
    posture[Field::language] = std::move(names.language);
    posture.machine_id = machine_id(tree);
    for (auto& value : posture.values) value = posture_value(std::move(value));
    return without(std::move(posture), declined);
}

Posture without(Posture posture, const PostureFields& declined) {
    for (std::size_t i = 0; i < posture_field_count; ++i)
        if (declined[i]) posture.values[i].clear();
    if (declined[index_of(Field::device_uid)]) posture.machine_id.clear();
    return posture;
}

std::optional<TenantKey> parse_tenant_key(std::string_view text) {
    const auto bytes = base::base64url_decode(text);
    TenantKey key{};
    if (!bytes || bytes->size() != key.size()) return std::nullopt;
    std::copy(bytes->begin(), bytes->end(), key.begin());
    return key;
}

std::string device_uid(const TenantKey& tenant, std::string_view machine_id) {
    const std::string text = "usher device uid v1\n" + std::string(machine_id);
    std::array<std::uint8_t, 32> digest{};
    unsigned size = 0;
    if (HMAC(EVP_sha256(), tenant.data(), static_cast<int>(tenant.size()),
             reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size) == nullptr ||
        size != digest.size())
        throw std::runtime_error("OpenSSL makes no HMAC-SHA-256");
    return base::to_hex(digest);
}

Posture addressed(Posture posture, const TenantKey& tenant) {
    if (!posture.machine_id.empty()) posture[Field::device_uid] = device_uid(tenant, posture.machine_id);
    posture.machine_id.clear();
    return posture;
}

std::string posture_body(const Posture& posture, bool of_before) {
    std::string body = "{";
    for (const auto& info : infos) {
        const auto& value = posture[info.field];
        if (value.empty() || (of_before && info.at_sign_in)) continue;
        if (body.size() > 1) body += ',';
        body.append("\"").append(info.name).append("\":").append(base::json_quote(value));
    }
    return body + "}";
}

}  // namespace usher::clients
