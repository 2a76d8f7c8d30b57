#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "auth/device.hpp"
#include "auth/device_authority.hpp"
#include "auth/directory.hpp"
#include "auth/sealing.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"

namespace usher::auth {

struct DeviceRules {
    std::size_t per_account = 20;    ///< that are not unbound
    bool approval_required = false;  ///< a new one is pending until an administrator approves it
};
/// So many rows of unbound devices an account keeps; the oldest go first. What became of them is on record.
inline constexpr std::size_t unbound_devices_kept = 20;

/// What an administrator does to a device.
enum class DeviceAct { approve, lock, unlock, lose, unbind };

/// A device as it is now, with the certificate that was just issued for it.
struct EnrolledDevice {
    Device device;
    std::string certificate_pem;
};

/// The enrolled devices in the database, their authority, and a snapshot of them in memory. Changes block (database)
/// and come one after another, on all gateways of a database; snapshot() is cheap and thread-safe.
class Devices {
public:
    /// Reads them. The first gateway of a database makes the authority, its key sealed with `keys`. When none of the
    /// keys opens it, devices go on to be recognised, and none can be enrolled: authority().can_issue() says so.
    static base::Result<std::unique_ptr<Devices>> open(base::sql::Database& database, const base::Clock& clock,
                                                       const SealingKeys& keys, DeviceRules rules);
    ~Devices();

    const DeviceAuthority& authority() const noexcept;
    DevicesNow snapshot() const noexcept;

    /// Called after each change, with the new snapshot in place, on the thread of the change, which waits for it. What
    /// a call has as `after` the next one has as `before`. Set once, before the first change. It must not change
    /// devices.
    void set_listener(std::function<void(const DevicesNow& before, const DevicesNow& after)> on_change);
    /// Reads again what another gateway has changed, and calls the listener. Returns whether it did.
    base::Result<bool> refresh();

    /// Enrols the key of `request`. `record` is called with the new device before it is committed; an error of it
    /// leaves everything as it was. invalid_argument for a bad name; already_exists when the key is a device's already;
    /// resource_exhausted past the bound of the account; failed_precondition when the authority cannot issue.
    base::Result<EnrolledDevice> enroll(const std::string& account_id, const std::string& name,
                                        const CertificateRequest& request,
                                        const std::function<base::Result<void>(const Device&)>& record);
    /// A new certificate of the same key, for a device that may sign in; failed_precondition otherwise.
    base::Result<EnrolledDevice> renew(std::string_view device_id,
                                       const std::function<base::Result<void>(const Device&)>& record);
    /// not_found; failed_precondition when the device's state does not allow the act. A device that is so already stays
    /// so, without a record.
    base::Result<Device> act(std::string_view device_id, DeviceAct act, const RecordChange& record);

    /// When it last signed in.
    base::Result<std::optional<base::UtcTime>> last_seen(const std::string& device_id) const;

private:
    Devices();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// As it goes on record.
std::string to_json(const Device& device);
/// "device.approve" and so on, as it goes on record.
std::string_view to_action(DeviceAct act) noexcept;
/// The state after the act; nullopt when it is not for a device in state `from`. Pure.
std::optional<DeviceState> after(DeviceAct act, DeviceState from) noexcept;

}  // namespace usher::auth
