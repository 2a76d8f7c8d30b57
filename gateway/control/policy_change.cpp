#include "gateway/control/policy_change.hpp"

#include "auth/directory_draft.hpp"
#include "auth/policy_diff.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/paging.hpp"

namespace usher::gateway::control {
namespace {

using base::Result;
namespace v1 = usher::v1;

/// Comparisons of a rule with an account in one page: some tens of nanoseconds each.
constexpr std::uint64_t work_max = 5'000'000;

v1::Reach::Value to_proto(auth::Reach reach) {
    switch (reach) {
        case auth::Reach::never:
            return v1::Reach::NEVER;
        case auth::Reach::sometimes:
            return v1::Reach::SOMETIMES;
        case auth::Reach::always:
            return v1::Reach::ALWAYS;
    }
    return v1::Reach::UNSPECIFIED;
}

}  // namespace

Result<void> diff_policies(const auth::Snapshot& directory, base::UtcTime now, const v1::DiffPoliciesRequest& request,
                           v1::DiffPoliciesResponse& response) {
    // A token of another version would leave out whom the directory has meanwhile put before its place.
    const auto kind = "policy-differences " + std::to_string(directory->version());
    auto page = read_page(request.page_size(), request.page_token(), kind);
    if (!page) return std::move(page).error();
    auto resources = from_proto(request.resources());
    if (!resources) return std::move(resources).error();
    auto after = auth::preview(*directory, *resources, now);
    if (!after) return std::move(after).error();

    auth::PolicyDiff::Place place;
    if (const auto end = page->after.find('\n'); end != std::string::npos)
        place = {page->after.substr(0, end), page->after.substr(end + 1)};
    const auto part = auth::PolicyDiff(*directory, **after, now).next(place, page->size, work_max);
    for (const auto& change : part.changes) {
        auto& difference = *response.add_differences();
        difference.set_account(change.account->username);
        difference.set_app(change.app->name);
        difference.set_before(to_proto(change.before));
        difference.set_after(to_proto(change.after));
    }
    if (part.more) response.set_next_page_token(page_token(kind, part.next.app + "\n" + part.next.username));
    response.set_policy_version(directory->version());
    return {};
}

}  // namespace usher::gateway::control
