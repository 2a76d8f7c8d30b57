#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "auth/directory.hpp"
#include "base/text.hpp"

namespace usher::auth {

/// A working copy of the directory, and what has been done to it.
struct Draft {
    explicit Draft(const DirectorySnapshot& from)
        : accounts(from.accounts()), apps(from.apps()), policies(from.policies()), departments(from.departments()) {}
    std::vector<Account> accounts;
    std::vector<App> apps;
    std::vector<Policy> policies;
    std::vector<Department> departments;
    std::vector<Change> changes;

    /// The directory that it has become; the draft is empty then.
    Snapshot finish(std::uint64_t version) && {
        return std::make_shared<const DirectorySnapshot>(version, std::move(accounts), std::move(apps),
                                                         std::move(policies), std::move(departments));
    }
};

/// Brings what is to be applied into canonical form, with `now` as the time of its change. Checks each for itself, and
/// that none is given twice. Errors begin with "resources[N].". Pure.
base::Result<Resources> canonicalize(Resources resources, base::UtcTime now);

/// Puts canonical resources into the draft: what changed is in draft.changes, in the order of the call. Checks all that
/// hangs on the directory as a whole, the expectations of its policies included; after an error the draft is void.
/// Pure.
base::Result<std::vector<ApplyOutcome>> put(Draft& draft, const Resources& resources);

/// The directory `from` as Directory::apply() would leave it at `now`, with the same version; apply()'s errors, in its
/// words. Pure.
base::Result<Snapshot> preview(const DirectorySnapshot& from, const Resources& resources, base::UtcTime now);

/// What a resource is known by.
inline const std::string& key_of(const App& app) noexcept { return app.name; }
inline const std::string& key_of(const Policy& policy) noexcept { return policy.name; }
inline const std::string& key_of(const Department& department) noexcept { return department.code; }

/// The word for its kind, in files and on record.
constexpr std::string_view kind_of(const App&) noexcept { return "app"; }
constexpr std::string_view kind_of(const Policy&) noexcept { return "policy"; }
constexpr std::string_view kind_of(const Department&) noexcept { return "department"; }

/// The item that is known by that; null where there is none.
template <class T>
T* find_named(std::vector<T>& list, const std::string& key) {
    for (auto& item : list)
        if (key_of(item) == key) return &item;
    return nullptr;
}

/// "; did you mean 'crm'?" where something is called nearly so, else "".
template <class Named>
std::string suggestion(std::string_view name, const std::vector<Named>& known, std::string Named::*key) {
    std::vector<std::string_view> names;
    names.reserve(known.size());
    for (const auto& item : known) names.push_back(item.*key);
    const auto near = base::closest(name, names);
    return near ? "; did you mean '" + std::string(*near) + "'?" : "";
}

}  // namespace usher::auth
