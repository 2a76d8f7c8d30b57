#include "auth/affected.hpp"

#include <algorithm>

namespace usher::auth {
namespace {

void sort_unique(std::vector<std::string>& names) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
}

/// Calls `changed` with each item of `before` that `after` does not have as it was; `find` looks one up there.
template <class Item, class Find, class Changed>
void each_changed(const std::vector<Item>& before, Find find, Changed changed) {
    for (const auto& item : before) {
        const Item* other = find(item);
        if (other == nullptr || !(*other == item)) changed(item);
    }
}

}  // namespace

Affected affected_by(const DirectorySnapshot& before, const DirectorySnapshot& after) {
    if (before.apps() != after.apps() || before.departments() != after.departments()) return Affected::all();
    Affected affected;
    // Both ways, for what is new may allow or deny as well as what is gone.
    const auto both_ways = [&](const DirectorySnapshot& one, const DirectorySnapshot& other) {
        each_changed(
            one.accounts(), [&](const Account& account) { return other.account_by_id(account.id); },
            [&](const Account& account) { affected.accounts.push_back(account.id); });
        each_changed(
            one.policies(), [&](const Policy& policy) { return other.policy(policy.name); },
            [&](const Policy& policy) {
                affected.apps.insert(affected.apps.end(), policy.apps.begin(), policy.apps.end());
            });
    };
    both_ways(before, after);
    both_ways(after, before);
    sort_unique(affected.accounts);
    sort_unique(affected.apps);
    return affected;
}

Affected affected_by(const DeviceSnapshot& before, const DeviceSnapshot& after) {
    Affected affected;
    const auto add = [&](const Device& device) { affected.accounts.push_back(device.account_id); };
    each_changed(
        before.devices(), [&](const Device& device) { return after.by_id(device.id); }, add);
    each_changed(
        after.devices(), [&](const Device& device) { return before.by_id(device.id); }, add);
    sort_unique(affected.accounts);
    return affected;
}

Affected affected_by(const std::vector<SharedChange>& changes) {
    Affected affected;
    for (const auto& change : changes) {
        switch (change.kind) {
            case ChangeKind::session_begun:
            case ChangeKind::session_ended:
            case ChangeKind::session_proved:
                affected.sessions.push_back(change.id);
                break;
            case ChangeKind::sessions_of:
                affected.accounts.push_back(change.id);
                break;
            case ChangeKind::directory:
            case ChangeKind::devices:
                return Affected::all();
        }
    }
    return affected;
}

}  // namespace usher::auth
