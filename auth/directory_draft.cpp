#include "auth/directory_draft.hpp"

#include <algorithm>
#include <set>

#include "auth/change_json.hpp"
#include "auth/expectations.hpp"
#include "auth/validate.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Result;

std::string quoted(std::string_view value) { return "'" + base::escape_for_terminal(value, 100) + "'"; }

/// What two apps must not both claim: the destination without its ports.
std::string claim_key(DestinationPattern pattern) {
    pattern.first_port = pattern.last_port = 1;
    return pattern.to_string();
}

std::string resource_prefix(std::size_t index) { return "resources[" + std::to_string(index) + "]."; }

template <class T>
bool same_but_for_time(const T& a, T b) {
    b.updated_at = a.updated_at;
    return a == b;
}

constexpr std::string_view folder_of(const Department&) { return "departments/"; }
constexpr std::string_view folder_of(const App&) { return "apps/"; }
constexpr std::string_view folder_of(const Policy&) { return "policies/"; }

/// Puts one resource into its list.
template <class T>
ApplyOutcome put(std::vector<T>& list, const T& resource, std::vector<Change>& changes) {
    Change change{
        std::string(kind_of(resource)) + ".apply", std::string(folder_of(resource)) + key_of(resource), {}, {}};
    auto outcome = ApplyOutcome::created;
    if (T* old = find_named(list, key_of(resource))) {
        if (same_but_for_time(*old, resource)) return ApplyOutcome::unchanged;
        outcome = ApplyOutcome::updated;
        change.before_json = to_json(*old);
        *old = resource;
    } else {
        list.push_back(resource);
    }
    change.after_json = to_json(resource);
    changes.push_back(std::move(change));
    return outcome;
}

/// Every app that a policy of the call names is there.
Result<void> check_apps_exist(const Resources& resources, const std::vector<App>& apps) {
    std::set<std::string_view> names;
    for (const auto& app : apps) names.insert(app.name);
    for (std::size_t i = 0; i < resources.size(); ++i) {
        const auto* policy = std::get_if<Policy>(&resources[i]);
        if (policy == nullptr) continue;
        for (std::size_t n = 0; n < policy->apps.size(); ++n) {
            if (names.count(policy->apps[n]) != 0) continue;
            return {Errc::failed_precondition, resource_prefix(i) + "apps[" + std::to_string(n) + "]: app " +
                                                   quoted(policy->apps[n]) + " does not exist" +
                                                   suggestion(policy->apps[n], apps, &App::name)};
        }
    }
    return {};
}

/// No app of the call claims a destination that another app has too: which of them is used would hang on their names.
Result<void> check_claims(const Resources& resources, const std::vector<App>& apps) {
    std::unordered_map<std::string, std::vector<std::pair<const App*, const DestinationPattern*>>> claims;
    for (const auto& app : apps) {
        for (const auto& pattern : app.destinations) claims[claim_key(pattern)].emplace_back(&app, &pattern);
    }
    for (std::size_t i = 0; i < resources.size(); ++i) {
        const auto* app = std::get_if<App>(&resources[i]);
        if (app == nullptr) continue;
        for (std::size_t n = 0; n < app->destinations.size(); ++n) {
            const auto& pattern = app->destinations[n];
            for (const auto& [other, theirs] : claims[claim_key(pattern)]) {
                if (other->name == app->name) continue;
                if (theirs->first_port > pattern.last_port || pattern.first_port > theirs->last_port) continue;
                return {Errc::invalid_argument, resource_prefix(i) + "destinations[" + std::to_string(n) + "]: '" +
                                                    pattern.to_string() + "' of app '" + app->name + "' overlaps '" +
                                                    theirs->to_string() + "' of app '" + other->name +
                                                    "'; one destination belongs to one app"};
            }
        }
    }
    return {};
}

/// The departments are a tree. Where they are not, one of the call has made it so: the first that lies on the way.
Result<void> check_tree(const Resources& resources, const std::vector<Department>& departments) {
    std::size_t culprit = 0;
    const auto tree = check_department_tree(departments, culprit);
    if (tree) return {};
    const DepartmentTree lines(departments);
    const auto& above = lines.above(departments[culprit].code);
    for (std::size_t i = 0; i < resources.size(); ++i) {
        const auto* department = std::get_if<Department>(&resources[i]);
        if (department == nullptr) continue;
        if (department->code == departments[culprit].code ||
            std::find(above.begin(), above.end(), department->code) != above.end())
            return {tree.error().code, resource_prefix(i) + "parent: " + tree.error().message};
    }
    return tree.error();
}

}  // namespace

Result<Resources> canonicalize(Resources resources, base::UtcTime now) {
    if (resources.size() > resources_max) {
        return {Errc::invalid_argument, "resources: are more than " + std::to_string(resources_max) + " in one call"};
    }
    std::set<std::pair<std::size_t, std::string>> seen;
    for (std::size_t i = 0; i < resources.size(); ++i) {
        auto ok = std::visit(
            [&](auto& resource) -> Result<void> {
                if (auto checked = canonicalize(resource); !checked) return checked;
                resource.updated_at = now;
                if (seen.emplace(resources[i].index(), key_of(resource)).second) return {};
                return {Errc::invalid_argument,
                        std::string(std::is_same_v<decltype(resource), Department&> ? "code: " : "name: ") +
                            std::string(kind_of(resource)) + " '" + key_of(resource) + "' is given twice"};
            },
            resources[i]);
        if (!ok) return {ok.error().code, resource_prefix(i) + ok.error().message};
    }
    return resources;
}

Result<std::vector<ApplyOutcome>> put(Draft& draft, const Resources& resources) {
    std::vector<ApplyOutcome> outcomes(resources.size(), ApplyOutcome::unchanged);
    std::vector<std::pair<std::size_t, Change>> changes;
    const auto put_all = [&](auto& list) {
        using Kind = typename std::decay_t<decltype(list)>::value_type;
        for (std::size_t i = 0; i < resources.size(); ++i) {
            const auto* resource = std::get_if<Kind>(&resources[i]);
            if (resource == nullptr) continue;
            std::vector<Change> made;
            outcomes[i] = put(list, *resource, made);
            if (!made.empty()) changes.emplace_back(i, std::move(made.front()));
        }
    };
    put_all(draft.departments);
    if (auto tree = check_tree(resources, draft.departments); !tree) return tree.error();
    put_all(draft.apps);
    if (auto exist = check_apps_exist(resources, draft.apps); !exist) return exist.error();
    if (auto free = check_claims(resources, draft.apps); !free) return free.error();
    put_all(draft.policies);
    const auto expects = [](const Policy& policy) { return !policy.expect.empty(); };
    if (std::any_of(draft.policies.begin(), draft.policies.end(), expects)) {
        const DirectorySnapshot after(0, draft.accounts, draft.apps, draft.policies, draft.departments);
        if (auto held = check_expectations(after, resources); !held) return held.error();
    }
    // On record in the order of the call.
    std::sort(changes.begin(), changes.end(), [](auto& a, auto& b) { return a.first < b.first; });
    for (auto& [index, change] : changes) draft.changes.push_back(std::move(change));
    return outcomes;
}

Result<Snapshot> preview(const DirectorySnapshot& from, const Resources& resources, base::UtcTime now) {
    const auto canonical = canonicalize(resources, now);
    if (!canonical) return canonical.error();
    Draft draft(from);
    if (auto ok = put(draft, *canonical); !ok) return ok.error();
    return std::move(draft).finish(from.version());
}

}  // namespace usher::auth
