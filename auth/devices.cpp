#include "auth/devices.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

#include "auth/device_rows.hpp"
#include "auth/validate.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"

namespace usher::auth {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Transaction;

namespace {

constexpr std::string_view authority_context = "device-ca";

/// The authority of the database, made where there is none.
Result<DeviceAuthority> open_authority(Transaction& transaction, const SealingKeys& keys, base::UtcTime now) {
    auto stored = rows::read_authority(transaction);
    if (!stored) {
        auto made = DeviceAuthority::make(now);
        if (!made) return std::move(made).error();
        rows::insert(transaction, {made->certificate, keys.seal(made->private_key, authority_context)}, now);
        return DeviceAuthority::of(made->certificate, &made->private_key);
    }
    if (!keys.has(stored->private_key.key_id)) return DeviceAuthority::of(stored->certificate, nullptr);
    auto key = keys.open(stored->private_key, authority_context);
    if (!key) return std::move(key).error();
    if (stored->private_key.key_id != keys.current_id())
        rows::reseal_authority(transaction, keys.seal(*key, authority_context));
    return DeviceAuthority::of(stored->certificate, &*key);
}

}  // namespace

struct Devices::Impl {
    Impl(base::sql::Database& d, const base::Clock& c, DeviceRules r) : database(d), clock(c), rules(r) {}

    base::sql::Database& database;
    const base::Clock& clock;
    const DeviceRules rules;
    std::optional<DeviceAuthority> authority;
    std::mutex change_mutex;            ///< held through a change, its listener included
    mutable std::mutex snapshot_mutex;  ///< held to copy or swap a pointer
    DevicesNow current = std::make_shared<const DeviceSnapshot>();
    std::function<void(const DevicesNow&, const DevicesNow&)> listener;

    DevicesNow get() const {
        std::lock_guard lock(snapshot_mutex);
        return current;
    }

    static DevicesNow load(Transaction& transaction) {
        const auto mark = rows::read_devices_mark(transaction);
        return std::make_shared<const DeviceSnapshot>(static_cast<std::uint64_t>(mark.version),
                                                      rows::read_devices(transaction));
    }

    void publish(DevicesNow next) {
        DevicesNow before;
        {
            std::lock_guard lock(snapshot_mutex);
            before = std::exchange(current, next);
        }
        if (listener) listener(before, next);
    }

    using Edit = std::function<Result<bool>(Transaction&, const DeviceSnapshot&)>;

    /// Runs `edit` on the devices as the database has them now; nothing is committed or published when it says that
    /// nothing changed.
    Result<void> change(const Edit& edit) {
        std::lock_guard lock(change_mutex);
        DevicesNow next;
        bool same = false;
        auto committed = database.transaction([&](Transaction& transaction) -> Result<void> {
            same = false;
            rows::next_devices_version(transaction);
            auto edited = edit(transaction, *load(transaction));
            if (!edited) return std::move(edited).error();
            same = !*edited;
            if (same) return {Errc::already_exists, "nothing changed"};  // takes the version back
            next = load(transaction);
            return {};
        });
        if (same) return {};
        if (!committed) return committed;
        publish(std::move(next));
        return {};
    }
};

namespace {

Error no_device(std::string_view id) {
    return {Errc::not_found, "device '" + base::escape_for_terminal(id, 100) + "' does not exist"};
}

/// The rows of `account_id` that are unbound and older than those that are kept.
std::vector<std::string> too_old(const DeviceSnapshot& devices, const std::string& account_id) {
    std::vector<const Device*> unbound;
    for (const auto& device : devices.devices())
        if (device.account_id == account_id && device.state == DeviceState::unbound) unbound.push_back(&device);
    std::sort(unbound.begin(), unbound.end(), [](auto* a, auto* b) { return a->updated_at > b->updated_at; });
    std::vector<std::string> ids;
    for (std::size_t i = unbound_devices_kept; i < unbound.size(); ++i) ids.push_back(unbound[i]->id);
    return ids;
}

}  // namespace

Devices::Devices() = default;
Devices::~Devices() = default;

Result<std::unique_ptr<Devices>> Devices::open(base::sql::Database& database, const base::Clock& clock,
                                               const SealingKeys& keys, DeviceRules rules) {
    std::unique_ptr<Devices> devices(new Devices);
    devices->impl_ = std::make_unique<Impl>(database, clock, rules);
    auto read = database.transaction([&](Transaction& transaction) -> Result<void> {
        // Of two gateways that start on a new database one makes the authority, and the other one reads it.
        rows::lock_devices(transaction);
        auto authority = open_authority(transaction, keys, clock.utc());
        if (!authority) return std::move(authority).error();
        devices->impl_->authority = std::move(*authority);
        devices->impl_->current = Impl::load(transaction);
        return {};
    });
    if (!read) return read.error();
    return devices;
}

const DeviceAuthority& Devices::authority() const noexcept { return *impl_->authority; }
DevicesNow Devices::snapshot() const noexcept { return impl_->get(); }
void Devices::set_listener(std::function<void(const DevicesNow&, const DevicesNow&)> on_change) {
    impl_->listener = std::move(on_change);
}

Result<bool> Devices::refresh() {
    std::lock_guard lock(impl_->change_mutex);
    DevicesNow next;
    auto read = impl_->database.read([&](Transaction& transaction) -> Result<void> {
        next.reset();
        const auto now = impl_->get();
        const rows::DevicesMark known{static_cast<std::int64_t>(now->version()),
                                      static_cast<std::int64_t>(now->devices().size())};
        if (rows::read_devices_mark(transaction) != known) next = Impl::load(transaction);
        return {};
    });
    if (!read) return read.error();
    if (!next) return false;
    impl_->publish(std::move(next));
    return true;
}

Result<EnrolledDevice> Devices::enroll(const std::string& account_id, const std::string& name,
                                       const CertificateRequest& request,
                                       const std::function<Result<void>(const Device&)>& record) {
    if (name.empty()) return {Errc::invalid_argument, "name: is empty"};
    if (auto ok = check_text("name", name); !ok) return ok.error();
    EnrolledDevice enrolled;
    auto& device = enrolled.device;
    device.id = base::new_uuid(impl_->clock).to_string();
    device.account_id = account_id;
    device.name = name;
    device.state = impl_->rules.approval_required ? DeviceState::pending : DeviceState::active;
    device.key_sha256 = request.key_sha256();
    device.created_at = device.updated_at = impl_->clock.utc();
    auto issued = impl_->authority->issue(request.public_key(), device.id, device.created_at);
    if (!issued) return std::move(issued).error();
    device.serial = issued->serial;
    device.not_after = issued->not_after;
    enrolled.certificate_pem = std::move(issued->pem);
    bool recorded = false;  // a transaction that runs again records nothing twice
    auto done = impl_->change([&](Transaction& transaction, const DeviceSnapshot& now) -> Result<bool> {
        if (now.by_key(device.key_sha256) != nullptr)
            return {Errc::already_exists, "the key is a device's already; a device makes a key of its own"};
        std::size_t bound = 0;
        for (const auto& other : now.devices())
            bound += other.account_id == account_id && other.state != DeviceState::unbound;
        if (bound >= impl_->rules.per_account)
            return {Errc::resource_exhausted, "the account has " + std::to_string(bound) + " devices already"};
        for (const auto& id : too_old(now, account_id)) rows::erase_device(transaction, id);
        rows::insert(transaction, device, request.public_key());
        if (record && !std::exchange(recorded, true)) {
            if (auto ok = record(device); !ok) return ok.error();
        }
        return true;
    });
    if (!done) return done.error();
    return enrolled;
}

Result<EnrolledDevice> Devices::renew(std::string_view device_id,
                                      const std::function<Result<void>(const Device&)>& record) {
    EnrolledDevice renewed;
    bool recorded = false;
    auto done = impl_->change([&](Transaction& transaction, const DeviceSnapshot& now) -> Result<bool> {
        const Device* device = now.by_id(device_id);
        if (device == nullptr) return no_device(device_id);
        if (!may_sign_in(device->state))
            return {Errc::failed_precondition, "the device is " + std::string(to_word(device->state))};
        renewed.device = *device;
        renewed.device.updated_at = impl_->clock.utc();
        auto issued = impl_->authority->issue(rows::read_public_key(transaction, device->id), device->id,
                                              renewed.device.updated_at);
        if (!issued) return std::move(issued).error();
        renewed.device.serial = issued->serial;
        renewed.device.not_after = issued->not_after;
        renewed.certificate_pem = std::move(issued->pem);
        rows::update(transaction, renewed.device);
        if (record && !std::exchange(recorded, true)) {
            if (auto ok = record(renewed.device); !ok) return ok.error();
        }
        return true;
    });
    if (!done) return done.error();
    return renewed;
}

Result<Device> Devices::act(std::string_view device_id, DeviceAct act, const RecordChange& record) {
    Device after_act;
    std::optional<Change> recorded;
    auto done = impl_->change([&](Transaction& transaction, const DeviceSnapshot& now) -> Result<bool> {
        const Device* device = now.by_id(device_id);
        if (device == nullptr) return no_device(device_id);
        const auto next = after(act, device->state);
        if (!next)
            return {Errc::failed_precondition,
                    "device '" + device->id + "' is " + std::string(to_word(device->state)) + ": that is not for it"};
        after_act = *device;
        if (*next == device->state) return false;
        after_act.state = *next;
        after_act.updated_at = impl_->clock.utc();
        rows::update(transaction, after_act);
        Change change{std::string(to_action(act)), "devices/" + device->id, to_json(*device), to_json(after_act)};
        if (record && recorded != change) {
            if (auto ok = record(change); !ok) return ok.error();
            recorded = std::move(change);
        }
        return true;
    });
    if (!done) return done.error();
    return after_act;
}

Result<std::optional<base::UtcTime>> Devices::last_seen(const std::string& device_id) const {
    std::optional<base::UtcTime> seen;
    auto read = impl_->database.read([&](Transaction& transaction) -> Result<void> {
        seen = rows::read_last_seen(transaction, device_id);
        return {};
    });
    if (!read) return read.error();
    return seen;
}

std::string to_json(const Device& device) {
    return "{\"device_id\":" + base::json_quote(device.id) + ",\"account_id\":" + base::json_quote(device.account_id) +
           ",\"name\":" + base::json_quote(device.name) + ",\"state\":" + base::json_quote(to_word(device.state)) +
           ",\"key_sha256\":" + base::json_quote(base::to_hex(device.key_sha256)) +
           ",\"serial\":" + base::json_quote(device.serial) +
           ",\"not_after\":" + base::json_quote(base::format_rfc3339(device.not_after)) + "}";
}

std::string_view to_action(DeviceAct act) noexcept {
    switch (act) {
        case DeviceAct::approve:
            return "device.approve";
        case DeviceAct::lock:
            return "device.lock";
        case DeviceAct::unlock:
            return "device.unlock";
        case DeviceAct::lose:
            return "device.lose";
        case DeviceAct::unbind:
            break;
    }
    return "device.unbind";
}

std::optional<DeviceState> after(DeviceAct act, DeviceState from) noexcept {
    using State = DeviceState;
    const auto only = [&](std::initializer_list<State> allowed, State next) {
        const bool fits = std::find(allowed.begin(), allowed.end(), from) != allowed.end();
        return fits || from == next ? std::optional(next) : std::nullopt;
    };
    switch (act) {
        case DeviceAct::approve:
            return only({State::pending}, State::active);
        case DeviceAct::lock:
            return only({State::pending, State::active}, State::locked);
        case DeviceAct::unlock:
            return only({State::locked}, State::active);
        case DeviceAct::lose:
            return only({State::pending, State::active, State::locked}, State::lost);
        case DeviceAct::unbind:
            break;
    }
    return State::unbound;
}

}  // namespace usher::auth
