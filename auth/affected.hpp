#pragma once
#include <string>
#include <utility>
#include <vector>

#include "auth/device.hpp"
#include "auth/directory.hpp"

namespace usher::auth {

/// Whose accesses a change may be about. Any other access is judged behind the change as it was before; one of these
/// may be.
struct Affected {
    bool everybody = false;                       ///< the lists count for nothing then
    std::vector<std::string> accounts, sessions;  ///< by id
    std::vector<std::string> apps;                ///< by name

    static Affected all() { return {true, {}, {}, {}}; }
    static Affected account(std::string id) { return {false, {std::move(id)}, {}, {}}; }
    static Affected session(std::string id) { return {false, {}, {std::move(id)}, {}}; }
    bool nobody() const noexcept { return !everybody && accounts.empty() && sessions.empty() && apps.empty(); }
};

/// Whom the change from one directory, or one set of devices, to the other may be about. Accounts and policies are
/// compared one by one; where apps or departments differ, which decide about one another, everybody is. Pure.
Affected affected_by(const DirectorySnapshot& before, const DirectorySnapshot& after);
Affected affected_by(const DeviceSnapshot& before, const DeviceSnapshot& after);

}  // namespace usher::auth
