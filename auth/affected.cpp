#include "auth/affected.hpp"

#include <algorithm>

namespace usher::auth {
namespace {

void sort_unique(std::vector<std::string>& names) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
}

/// Calls `changed` with each item of `before` that is not in `after` as it was, and with each of `after` that is not in
/// `before` as it is; `find` looks one up in a snapshot.
template <class Snapshot, class Item, class Find, class Changed>
void each_changed(const Snapshot& before, const Snapshot& after, const std::vector<Item>& (Snapshot::*items)() const,
                  Find find, Changed changed) {
    for (const Item& item : (before.*items)()) {
        const Item* other = find(after, item);
        if (other != nullptr && *other == item) continue;
        changed(item);
        if (other != nullptr) changed(*other);
    }
    for (const Item& item : (after.*items)())
        if (find(before, item) == nullptr) changed(item);
}

}  // namespace

Affected affected_by(const DirectorySnapshot& before, const DirectorySnapshot& after) {
    if (before.apps() != after.apps() || before.departments() != after.departments()) return Affected::all();
    Affected affected;
    each_changed(
        before, after, &DirectorySnapshot::accounts,
        [](const DirectorySnapshot& in, const Account& account) { return in.account_by_id(account.id); },
        [&](const Account& account) { affected.accounts.push_back(account.id); });
    each_changed(
        before, after, &DirectorySnapshot::policies,
        [](const DirectorySnapshot& in, const Policy& policy) { return in.policy(policy.name); },
        [&](const Policy& policy) {
            affected.apps.insert(affected.apps.end(), policy.apps.begin(), policy.apps.end());
        });
    sort_unique(affected.accounts);
    sort_unique(affected.apps);
    return affected;
}

Affected affected_by(const DeviceSnapshot& before, const DeviceSnapshot& after) {
    Affected affected;
    each_changed(
        before, after, &DeviceSnapshot::devices,
        [](const DeviceSnapshot& in, const Device& device) { return in.by_id(device.id); },
        [&](const Device& device) { affected.accounts.push_back(device.account_id); });
    sort_unique(affected.accounts);
    return affected;
}

}  // namespace usher::auth
