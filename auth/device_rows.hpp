#pragma once
#include <optional>
#include <string>
#include <vector>

#include "auth/device.hpp"
#include "auth/sealing.hpp"
#include "base/sql/database.hpp"

/// The tables of devices and of their authority. Strict when read: data_loss names the row. Throws
/// base::sql::SqlError; inside a transaction.
namespace usher::auth::rows {

std::vector<Device> read_devices(base::sql::Transaction& transaction);
/// Of the devices' own version, and how many there are: one of the two tells that something has changed.
struct DevicesMark {
    std::int64_t version = 0, count = 0;
    friend bool operator==(const DevicesMark&, const DevicesMark&) = default;
};
DevicesMark read_devices_mark(base::sql::Transaction& transaction);
/// Locks the version's row until the transaction ends, and changes nothing.
void lock_devices(base::sql::Transaction& transaction);
/// Locks it likewise, so that changes of any gateway come one after another, and
/// moves it one up. The other
/// gateways hear of it at the commit.
std::int64_t next_devices_version(base::sql::Transaction& transaction);

void insert(base::sql::Transaction& transaction, const Device& device, const std::string& public_key);
void update(base::sql::Transaction& transaction, const Device& device);
void erase_device(base::sql::Transaction& transaction, const std::string& id);
/// SubjectPublicKeyInfo, DER.
std::string read_public_key(base::sql::Transaction& transaction, const std::string& id);
void update_last_seen(base::sql::Transaction& transaction, const DeviceKeyHash& key, base::UtcTime now);
std::optional<base::UtcTime> read_last_seen(base::sql::Transaction& transaction, const std::string& id);
/// Whether the account has a device of that key which may sign in.
bool device_may_sign_in(base::sql::Transaction& transaction, const std::string& account_id, const DeviceKeyHash& key);

struct StoredAuthority {
    std::string certificate;  ///< DER
    Sealed private_key;
};
std::optional<StoredAuthority> read_authority(base::sql::Transaction& transaction);
void insert(base::sql::Transaction& transaction, const StoredAuthority& authority, base::UtcTime now);
void reseal_authority(base::sql::Transaction& transaction, const Sealed& private_key);

}  // namespace usher::auth::rows
