#include "gateway/control/retention_change.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/text.hpp"
#include "gateway/control/convert_retention.hpp"

namespace usher::gateway::control {
namespace {

using audit::RetentionChange;
using base::Errc;
using base::Result;

/// What is new only adds to what is kept.
bool takes_two(const RetentionChange& change) {
    return !change.before_json.empty() && change.before_json != change.after_json;
}

bool same(const RetentionChange& a, const RetentionChange& b) {
    return a.resource == b.resource && a.before_json == b.before_json && a.after_json == b.after_json;
}

TwoPerson::Order order_of(const std::vector<RetentionChange>& changes) {
    if (changes.size() == 1)
        return {changes[0].action, changes[0].resource, changes[0].before_json, changes[0].after_json};
    TwoPerson::Order order{"retention.apply", {}, {}, {}};
    for (const auto& change : changes) {
        const bool first = order.resource.empty();
        order.resource += (first ? "" : ", ") + change.resource;
        order.before_json += (first ? "{" : ",") + base::json_quote(change.resource) + ":" + change.before_json;
        order.after_json += (first ? "{" : ",") + base::json_quote(change.resource) + ":" + change.after_json;
    }
    order.before_json += "}";
    order.after_json += "}";
    return order;
}

}  // namespace

Result<void> change_retention(TwoPerson* two_person, const Caller& caller, AdminRecorder& recorder,
                              std::span<const ChangeRetention> parts, const ChangeRetention& whole) {
    const auto record = recording(recorder);
    if (two_person == nullptr) return whole(record);
    std::vector<RetentionChange> seen_by_two;
    for (const auto& part : parts) {
        std::optional<RetentionChange> seen;
        auto done = part([&](const RetentionChange& change) -> Result<void> {
            seen = change;
            return {Errc::failed_precondition, "it was only looked at"};
        });
        if (!seen && !done) return done;
        if (seen && takes_two(*seen)) seen_by_two.push_back(std::move(*seen));
    }
    if (!seen_by_two.empty())
        if (auto ok = two_person->approve(caller, order_of(seen_by_two)); !ok) return ok;
    return whole([&](const RetentionChange& change) -> Result<void> {
        const bool approved =
            !takes_two(change) || std::any_of(seen_by_two.begin(), seen_by_two.end(),
                                              [&](const RetentionChange& other) { return same(other, change); });
        if (!approved)
            return {Errc::failed_precondition,
                    change.resource + " was made or changed by somebody else meanwhile; give the order again"};
        return record(change);
    });
}

}  // namespace usher::gateway::control
