#include "auth/device_rows.hpp"

#include <sodium.h>

#include <algorithm>

#include "auth/row_checks.hpp"
#include "auth/shared_change.hpp"
#include "base/ids.hpp"

namespace usher::auth::rows {

using base::sql::Blob;
using base::sql::Transaction;

namespace {

std::string text_of(const DeviceKeyHash& hash) { return {hash.begin(), hash.end()}; }

bool is_hash_of(const std::string& hash, const std::string& key) {
    DeviceKeyHash computed{};
    crypto_hash_sha256(computed.data(), reinterpret_cast<const unsigned char*>(key.data()), key.size());
    return text_of(computed) == hash;
}

}  // namespace

std::vector<Device> read_devices(Transaction& transaction) {
    std::vector<Device> devices;
    const auto rows = transaction.execute(
        "SELECT id, account_id, name, state, public_key, key_sha256, serial, not_after, created_at, updated_at "
        "FROM devices");
    devices.reserve(rows.size());
    for (const auto& row : rows) {
        Device device;
        device.id = row.text(0);
        device.account_id = row.text(1);
        device.name = row.text(2);
        const auto state = device_state_from_word(row.text(3));
        const auto& hash = row.blob(5);
        device.serial = row.text(6);
        device.not_after = base::from_micros(row.integer(7));
        device.created_at = base::from_micros(row.integer(8));
        device.updated_at = base::from_micros(row.integer(9));
        const auto id = base::Uuid::parse(device.id);
        const bool times = is_time(row.integer(7)) && is_time(row.integer(8)) && is_time(row.integer(9));
        if (!times || !id || id->to_string() != device.id || !state || !is_hash_of(hash, row.blob(4)) ||
            device.name.empty() || !check_text("name", device.name) || !check_text("serial", device.serial))
            corrupt("devices", device.id, "is malformed");
        device.state = *state;
        std::copy(hash.begin(), hash.end(), device.key_sha256.begin());
        devices.push_back(std::move(device));
    }
    return devices;
}

DevicesMark read_devices_mark(Transaction& transaction) {
    const auto rows =
        transaction.execute("SELECT version, (SELECT COUNT(*) FROM devices) FROM device_state WHERE id = 1");
    if (rows.size() != 1) corrupt("device_state", "1", "is missing");
    return {rows[0].integer(0), rows[0].integer(1)};
}

void lock_devices(Transaction& transaction) {
    transaction.execute("UPDATE device_state SET version = version WHERE id = 1");
    must_change_one(transaction, "device_state");
}

std::int64_t next_devices_version(Transaction& transaction) {
    transaction.execute("UPDATE device_state SET version = version + 1 WHERE id = 1");
    must_change_one(transaction, "device_state");
    transaction.notify(to_message({ChangeKind::devices, {}}));
    return read_devices_mark(transaction).version;
}

void insert(Transaction& transaction, const Device& device, const std::string& public_key) {
    transaction.execute(
        "INSERT INTO devices (id, account_id, name, state, public_key, key_sha256, serial, not_after, created_at, "
        "updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        {device.id, device.account_id, device.name, std::string(to_word(device.state)), Blob{public_key},
         Blob{text_of(device.key_sha256)}, device.serial, base::to_micros(device.not_after),
         base::to_micros(device.created_at), base::to_micros(device.updated_at)});
}

void update(Transaction& transaction, const Device& device) {
    transaction.execute("UPDATE devices SET state = $2, serial = $3, not_after = $4, updated_at = $5 WHERE id = $1",
                        {device.id, std::string(to_word(device.state)), device.serial,
                         base::to_micros(device.not_after), base::to_micros(device.updated_at)});
    must_change_one(transaction, "devices");
}

void erase_device(Transaction& transaction, const std::string& id) {
    transaction.execute("DELETE FROM devices WHERE id = $1", {id});
}

std::string read_public_key(Transaction& transaction, const std::string& id) {
    const auto rows = transaction.execute("SELECT public_key FROM devices WHERE id = $1", {id});
    if (rows.size() != 1) corrupt("devices", id, "is missing");
    return rows[0].blob(0);
}

void update_last_seen(Transaction& transaction, const DeviceKeyHash& key, base::UtcTime now) {
    transaction.execute("UPDATE devices SET last_seen_at = $2 WHERE key_sha256 = $1",
                        {Blob{text_of(key)}, base::to_micros(now)});
}

std::optional<base::UtcTime> read_last_seen(Transaction& transaction, const std::string& id) {
    const auto rows = transaction.execute("SELECT last_seen_at FROM devices WHERE id = $1", {id});
    if (rows.empty() || !rows[0].maybe_integer(0)) return std::nullopt;
    if (!is_time(*rows[0].maybe_integer(0))) corrupt("devices", id, "was last seen at no time");
    return base::from_micros(*rows[0].maybe_integer(0));
}

bool device_may_sign_in(Transaction& transaction, const std::string& account_id, const DeviceKeyHash& key) {
    const auto rows = transaction.execute("SELECT state FROM devices WHERE key_sha256 = $1 AND account_id = $2",
                                          {Blob{text_of(key)}, account_id});
    const auto state = rows.size() == 1 ? device_state_from_word(rows[0].text(0)) : std::nullopt;
    return state && may_sign_in(*state);
}

std::optional<StoredAuthority> read_authority(Transaction& transaction) {
    const auto rows = transaction.execute("SELECT certificate, key_id, sealed_key FROM device_authority WHERE id = 1");
    if (rows.empty()) return std::nullopt;
    return StoredAuthority{rows[0].blob(0), {rows[0].text(1), rows[0].blob(2)}};
}

void insert(Transaction& transaction, const StoredAuthority& authority, base::UtcTime now) {
    transaction.execute(
        "INSERT INTO device_authority (id, certificate, key_id, sealed_key, created_at) VALUES (1, $1, $2, $3, $4)",
        {Blob{authority.certificate}, authority.private_key.key_id, Blob{authority.private_key.bytes},
         base::to_micros(now)});
}

void reseal_authority(Transaction& transaction, const Sealed& private_key) {
    transaction.execute("UPDATE device_authority SET key_id = $1, sealed_key = $2 WHERE id = 1",
                        {private_key.key_id, Blob{private_key.bytes}});
    must_change_one(transaction, "device_authority");
}

}  // namespace usher::auth::rows
