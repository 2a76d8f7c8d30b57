#include "gateway/control/convert_retention.hpp"

#include "auth/username.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/convert_fields.hpp"

namespace usher::gateway::control {
namespace {

using base::Result;
namespace v1 = usher::v1;

Result<audit::RetentionSetting> get(const v1::RetentionClass& message, const std::string& where) {
    const auto retention_class = audit::parse_retention_class(message.name());
    if (!retention_class)
        return invalid(where + ".name", quoted(message.name()) +
                                            " is no class of records; classes are access, sign-in, administration and "
                                            "denial");
    audit::RetentionSetting out = audit::default_setting(*retention_class);
    if (message.has_min_days()) out.min_days = message.min_days();
    if (message.has_max_days()) out.max_days = message.max_days();
    return out;
}

Result<audit::Hold> get(const v1::Hold& message, const std::string& where) {
    audit::Hold out;
    out.name = message.name();
    out.case_id = message.case_id();
    if (!message.account().empty()) {
        auto username = auth::canonical_username(message.account());
        if (!username) return invalid(where + ".account", quoted(message.account()) + " cannot be a username");
        out.account = std::move(*username);
    }
    out.app = message.app();
    for (const bool first : {true, false}) {
        if (first ? !message.has_from() : !message.has_until()) continue;
        auto time = from_proto(first ? message.from() : message.until(), where + (first ? ".from" : ".until"));
        if (!time) return std::move(time).error();
        (first ? out.from : out.until) = *time;
    }
    return out;
}

v1::RetentionRun::State::Value to_proto(audit::RetentionRun::State state) {
    using State = audit::RetentionRun::State;
    switch (state) {
        case State::running:
            return v1::RetentionRun::State::RUNNING;
        case State::complete:
            return v1::RetentionRun::State::COMPLETE;
        case State::stopped:
            return v1::RetentionRun::State::STOPPED;
        case State::interrupted:
            return v1::RetentionRun::State::INTERRUPTED;
        case State::failed:
            return v1::RetentionRun::State::FAILED;
        case State::preview:
            return v1::RetentionRun::State::PREVIEW;
    }
    return v1::RetentionRun::State::UNSPECIFIED;
}

}  // namespace

v1::RetentionClass to_proto(const audit::RetentionStore::Stored& stored) {
    v1::RetentionClass out;
    out.set_name(std::string(audit::to_word(stored.setting.retention_class)));
    out.set_min_days(stored.setting.min_days);
    if (stored.setting.max_days) out.set_max_days(*stored.setting.max_days);
    out.set_built_in_min_days(audit::built_in_min_days(stored.setting.retention_class));
    if (stored.updated_at) *out.mutable_updated_at() = to_proto(*stored.updated_at);
    return out;
}

v1::Hold to_proto(const audit::Hold& hold) {
    v1::Hold out;
    out.set_name(hold.name);
    out.set_case_id(hold.case_id);
    out.set_account(hold.account);
    out.set_app(hold.app);
    if (hold.from) *out.mutable_from() = to_proto(*hold.from);
    if (hold.until) *out.mutable_until() = to_proto(*hold.until);
    out.set_created_by(hold.created_by);
    *out.mutable_created_at() = to_proto(hold.created_at);
    return out;
}

v1::PendingOrder to_proto(const audit::PendingOrder& order) {
    v1::PendingOrder out;
    out.set_name("pending_orders/" + order.id);
    out.set_action(order.action);
    out.set_resource(order.resource);
    out.set_before_json(order.before_json);
    out.set_after_json(order.after_json);
    out.set_asked_by(order.asked_by);
    *out.mutable_asked_at() = to_proto(order.asked_at);
    *out.mutable_expires_at() = to_proto(order.expires_at);
    return out;
}

v1::RetentionRun to_proto(const audit::RetentionRun& run) {
    v1::RetentionRun out;
    if (run.run != 0) out.set_run_id(std::to_string(run.run));
    out.set_state(to_proto(run.state));
    out.set_requested_by(run.requested_by);
    *out.mutable_started_at() = to_proto(run.started_at);
    if (run.ended_at) *out.mutable_ended_at() = to_proto(*run.ended_at);
    for (const auto& [plan, removed] : run.counts) {
        auto& count = *out.add_counts();
        count.set_retention_class(std::string(audit::to_word(plan.retention_class)));
        if (plan.cutoff) *count.mutable_cutoff() = to_proto(*plan.cutoff);
        count.set_removable(plan.removable);
        count.set_held(plan.held);
        count.set_removed(removed);
        count.set_expected_daily(plan.expected_daily);
    }
    for (const auto& held : run.holds) {
        auto& added = *out.add_holds();
        added.set_hold(held.hold);
        added.set_records(held.records);
    }
    out.set_reason(run.reason);
    return out;
}

bool is_retention(const v1::ApplyRequest& request) {
    if (request.resources().empty()) return false;
    const auto first = request.resources(0).resource_case();
    return first == v1::Resource::kRetentionClass || first == v1::Resource::kHold;
}

Result<std::vector<audit::RetentionResource>> read_retention(const v1::ApplyRequest& request) {
    std::vector<audit::RetentionResource> out;
    for (int i = 0; i < request.resources_size(); ++i) {
        const auto& resource = request.resources(i);
        const auto where = indexed("resources", i);
        if (resource.has_retention_class()) {
            auto setting = get(resource.retention_class(), where);
            if (!setting) return std::move(setting).error();
            out.emplace_back(*setting);
        } else if (resource.has_hold()) {
            auto hold = get(resource.hold(), where);
            if (!hold) return std::move(hold).error();
            out.emplace_back(std::move(*hold));
        } else {
            return invalid(where, "apps and policies are applied by themselves, without classes and holds");
        }
    }
    return out;
}

v1::ApplyResponse::Item to_item(const audit::RetentionResource& resource, audit::RetentionOutcome outcome) {
    v1::ApplyResponse::Item item;
    if (const auto* hold = std::get_if<audit::Hold>(&resource)) {
        item.set_kind("hold");
        item.set_name(hold->name);
    } else {
        item.set_kind("retention_class");
        item.set_name(std::string(audit::to_word(std::get<audit::RetentionSetting>(resource).retention_class)));
    }
    switch (outcome) {
        case audit::RetentionOutcome::created:
            item.set_outcome(v1::ApplyResponse::Outcome::CREATED);
            break;
        case audit::RetentionOutcome::updated:
            item.set_outcome(v1::ApplyResponse::Outcome::UPDATED);
            break;
        case audit::RetentionOutcome::unchanged:
            item.set_outcome(v1::ApplyResponse::Outcome::UNCHANGED);
            break;
    }
    return item;
}

audit::RecordRetention recording(AdminRecorder& recorder) {
    return [&recorder](const audit::RetentionChange& change) {
        return recorder.record({change.action, change.resource, change.before_json, change.after_json});
    };
}

}  // namespace usher::gateway::control
