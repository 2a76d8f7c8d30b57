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
        : accounts(from.accounts()), apps(from.apps()), policies(from.policies()) {}
    std::vector<Account> accounts;
    std::vector<App> apps;
    std::vector<Policy> policies;
    std::vector<Change> changes;
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

/// The item of that name; null where there is none.
template <class T>
T* find_named(std::vector<T>& list, const std::string& name) {
    for (auto& item : list)
        if (item.name == name) return &item;
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
