#include <algorithm>

#include "auth/decided_by.hpp"
#include "auth/devices.hpp"
#include "auth/directory_draft.hpp"
#include "auth/policy.hpp"
#include "auth/validate.hpp"
#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/convert_retention.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/control/policy_change.hpp"
#include "gateway/control/read_record.hpp"
#include "gateway/control/retention_change.hpp"
#include "gateway/control/services.hpp"
#include "usher/v1/resource.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

v1::ApplyResponse::Outcome::Value to_proto(auth::ApplyOutcome outcome) {
    switch (outcome) {
        case auth::ApplyOutcome::created:
            return v1::ApplyResponse::Outcome::CREATED;
        case auth::ApplyOutcome::updated:
            return v1::ApplyResponse::Outcome::UPDATED;
        case auth::ApplyOutcome::unchanged:
            return v1::ApplyResponse::Outcome::UNCHANGED;
    }
    return v1::ApplyResponse::Outcome::UNSPECIFIED;
}

base::Error missing(std::string_view kind, const std::string& name) {
    return {Errc::not_found, std::string(kind) + " '" + base::escape_for_terminal(name, 100) + "' does not exist"};
}

class ResourceServiceImpl final : public v1::ResourceService::CallbackService {
public:
    explicit ResourceServiceImpl(const ServiceContext& context) : context_(context) {}

    Reactor* Apply(Call* call, const v1::ApplyRequest* request, v1::ApplyResponse* response) override {
        return unary(context_, call, method("ResourceService/Apply"),
                     std::to_string(request->resources_size()) + " resources",
                     [this, request, response](const Caller& caller) { return apply(caller, *request, *response); });
    }

    Reactor* GetApp(Call* call, const v1::GetAppRequest* request, v1::App* response) override {
        return unary(context_, call, method("ResourceService/GetApp"), request->name(),
                     [this, request, response](const Caller&) -> Result<void> {
                         auto name = read_name(request->name(), "apps");
                         if (!name) return std::move(name).error();
                         const auto snapshot = directory().snapshot();
                         const auto* app = snapshot->app(*name);
                         if (app == nullptr) return missing("app", *name);
                         *response = control::to_proto(*app);
                         return {};
                     });
    }

    Reactor* ListApps(Call* call, const v1::ListAppsRequest* request, v1::ListAppsResponse* response) override {
        return unary(context_, call, method("ResourceService/ListApps"), {},
                     [this, request, response](const Caller&) -> Result<void> {
                         auto page = read_page(request->page_size(), request->page_token(), "apps");
                         if (!page) return std::move(page).error();
                         const auto snapshot = directory().snapshot();
                         response->set_next_page_token(
                             list_page(snapshot->apps(), *page, "apps", &auth::App::name,
                                       [&](const auth::App& app) { *response->add_apps() = control::to_proto(app); }));
                         return {};
                     });
    }

    Reactor* DeleteApp(Call* call, const v1::DeleteAppRequest* request, google::protobuf::Empty*) override {
        return unary(context_, call, method("ResourceService/DeleteApp"), request->name(),
                     [this, request](const Caller& caller) -> Result<void> {
                         auto name = read_name(request->name(), "apps");
                         if (!name) return std::move(name).error();
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         auto deleted = directory().delete_app(*name, recorder.callback());
                         if (!deleted) return recorder.failed(std::move(deleted).error());
                         return {};
                     });
    }

    Reactor* GetPolicy(Call* call, const v1::GetPolicyRequest* request, v1::Policy* response) override {
        return unary(context_, call, method("ResourceService/GetPolicy"), request->name(),
                     [this, request, response](const Caller&) -> Result<void> {
                         auto name = read_name(request->name(), "policies");
                         if (!name) return std::move(name).error();
                         const auto snapshot = directory().snapshot();
                         const auto* policy = snapshot->policy(*name);
                         if (policy == nullptr) return missing("policy", *name);
                         *response = control::to_proto(*policy);
                         return {};
                     });
    }

    Reactor* ListPolicies(Call* call, const v1::ListPoliciesRequest* request,
                          v1::ListPoliciesResponse* response) override {
        return unary(
            context_, call, method("ResourceService/ListPolicies"), {},
            [this, request, response](const Caller&) -> Result<void> {
                auto page = read_page(request->page_size(), request->page_token(), "policies");
                if (!page) return std::move(page).error();
                const auto snapshot = directory().snapshot();
                response->set_next_page_token(list_page(
                    snapshot->policies(), *page, "policies", &auth::Policy::name,
                    [&](const auth::Policy& policy) { *response->add_policies() = control::to_proto(policy); }));
                return {};
            });
    }

    Reactor* DeletePolicy(Call* call, const v1::DeletePolicyRequest* request, google::protobuf::Empty*) override {
        return unary(context_, call, method("ResourceService/DeletePolicy"), request->name(),
                     [this, request](const Caller& caller) -> Result<void> {
                         auto name = read_name(request->name(), "policies");
                         if (!name) return std::move(name).error();
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         auto deleted = directory().delete_policy(*name, recorder.callback());
                         if (!deleted) return recorder.failed(std::move(deleted).error());
                         return {};
                     });
    }

    Reactor* GetDepartment(Call* call, const v1::GetDepartmentRequest* request, v1::Department* response) override {
        return unary(context_, call, method("ResourceService/GetDepartment"), request->name(),
                     [this, request, response](const Caller&) -> Result<void> {
                         auto code = read_name(request->name(), "departments");
                         if (!code) return std::move(code).error();
                         const auto snapshot = directory().snapshot();
                         const auto* department = snapshot->department(*code);
                         if (department == nullptr) return missing("department", *code);
                         *response = control::to_proto(*department);
                         return {};
                     });
    }

    Reactor* ListDepartments(Call* call, const v1::ListDepartmentsRequest* request,
                             v1::ListDepartmentsResponse* response) override {
        return unary(context_, call, method("ResourceService/ListDepartments"), {},
                     [this, request, response](const Caller&) -> Result<void> {
                         auto page = read_page(request->page_size(), request->page_token(), "departments");
                         if (!page) return std::move(page).error();
                         const auto snapshot = directory().snapshot();
                         response->set_next_page_token(list_page(
                             snapshot->departments(), *page, "departments", &auth::Department::code,
                             [&](const auth::Department& d) { *response->add_departments() = control::to_proto(d); }));
                         return {};
                     });
    }

    Reactor* DeleteDepartment(Call* call, const v1::DeleteDepartmentRequest* request,
                              google::protobuf::Empty*) override {
        return unary(context_, call, method("ResourceService/DeleteDepartment"), request->name(),
                     [this, request](const Caller& caller) -> Result<void> {
                         auto code = read_name(request->name(), "departments");
                         if (!code) return std::move(code).error();
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         auto deleted = directory().delete_department(*code, recorder.callback());
                         if (!deleted) return recorder.failed(std::move(deleted).error());
                         return {};
                     });
    }

    Reactor* ExplainPolicy(Call* call, const v1::ExplainPolicyRequest* request,
                           v1::ExplainPolicyResponse* response) override {
        return unary(context_, call, method("ResourceService/ExplainPolicy"), request->app(),
                     [this, request, response](const Caller&) { return explain(*request, *response); });
    }

    Reactor* DiffPolicies(Call* call, const v1::DiffPoliciesRequest* request,
                          v1::DiffPoliciesResponse* response) override {
        return unary(context_, call, method("ResourceService/DiffPolicies"), {},
                     [this, request, response](const Caller&) -> Result<void> {
                         return diff_policies(directory().snapshot(), context_.gateway.clock.utc(), *request,
                                              *response);
                     });
    }

    Reactor* ReplayPolicies(Call* call, const v1::ReplayPoliciesRequest* request,
                            v1::ReplayPoliciesResponse* response) override {
        return unary(
            context_, call, method("ResourceService/ReplayPolicies"), {},
            [this, request, response](const Caller& caller) -> Result<void> {
                v1::ReplayPoliciesResponse page;
                if (auto ok = replay_policies(directory().snapshot(), context_.gateway.store,
                                              context_.gateway.clock.utc(), *request, page);
                    !ok)
                    return ok;
                // It tells of accesses, so it is a read of them; the policies that it judged are not.
                v1::ReplayPoliciesRequest asked;
                if (request->has_since()) *asked.mutable_since() = request->since();
                asked.set_page_token(request->page_token());
                const AuditRead read{"policy.replay", "accesses", static_cast<std::uint64_t>(page.flips_size())};
                if (auto ok = record_read(context_.gateway.journal, caller, read, asked); !ok) return ok;
                *response = std::move(page);
                return {};
            });
    }

private:
    Result<void> explain(const v1::ExplainPolicyRequest& request, v1::ExplainPolicyResponse& response) {
        auto username = read_account_name(request.account());
        if (!username) return std::move(username).error();
        auto name = read_name(request.app(), "apps");
        if (!name) return std::move(name).error();
        auto context = read_context(request.client_ip(), request.has_at() ? &request.at() : nullptr,
                                    request.second_factor_age(), "");
        if (!context) return std::move(context).error();
        if (!context->time) context->time = context_.gateway.clock.utc();
        const auto snapshot = directory().snapshot();
        const auto* account = snapshot->account_by_username(*username);
        if (account == nullptr) return missing("account", *username);
        auto device = device_state(request.device(), *account);
        if (!device) return std::move(device).error();
        context->device = *device;
        auto posture = read_posture(request.posture(), "");
        if (!posture) return std::move(posture).error();
        context->posture = std::move(*posture);
        const bool control = *name == auth::control_app_name;
        const auto* app = snapshot->app(*name);
        if (app == nullptr && !control) return missing("app", *name);
        const auto decision = control ? auth::decide_control(*snapshot, *account, *context)
                                      : auth::decide(*snapshot, *account, *app, *context);
        response.set_policy_version(decision.policy_version);
        if (context->device && !auth::may_sign_in(*context->device)) {
            // Nothing of such a device is served, whatever the policies say.
            response.set_reason("device-" + std::string(auth::to_word(*context->device)));
        } else {
            response.set_allow(decision.allowed);
            response.set_reason(decision.text());
            for (auto& condition : auth::decided_by(decision, *snapshot, *account, *context))
                response.add_conditions(std::move(condition));
            response.set_policy(std::string(decision.policy_name()));
        }
        if (control) return {};
        for (const auto& trace : auth::explain(*snapshot, *account, *app, *context)) {
            auto& rule = *response.add_rules();
            rule.set_policy(trace.policy->name);
            rule.set_rule((trace.deny ? "deny[" : "allow[") + std::to_string(trace.rule) + "]");
            rule.set_matches(!trace.unmet);
            if (trace.unmet) rule.set_unmet(std::string(auth::to_word(*trace.unmet)));
        }
        return {};
    }

    /// Of the device that a question names; none where it names none.
    Result<std::optional<auth::DeviceState>> device_state(const std::string& name, const auth::Account& account) const {
        if (name.empty()) return std::optional<auth::DeviceState>{};
        auto id = read_name(name, "devices");
        if (!id) return std::move(id).error();
        const auto devices = context_.gateway.devices != nullptr ? context_.gateway.devices->snapshot() : nullptr;
        const auth::Device* device = devices ? devices->by_id(*id) : nullptr;
        if (device == nullptr) return missing("device", *id);
        if (device->account_id != account.id)
            return {Errc::invalid_argument, "device: '" + device->id + "' is not a device of '" + account.username +
                                                "'; see: usherctl device list --account " + account.username};
        return std::optional(device->state);
    }

    auth::Directory& directory() const { return context_.gateway.directory; }

    Result<void> apply(const Caller& caller, const v1::ApplyRequest& request, v1::ApplyResponse& response) {
        if (request.resources_size() > static_cast<int>(auth::resources_max)) {
            return {Errc::invalid_argument,
                    "resources: are more than " + std::to_string(auth::resources_max) + " in one call"};
        }
        if (is_retention(request)) return apply_retention(caller, request, response);
        auto resources = from_proto(request.resources());
        if (!resources) return std::move(resources).error();
        AdminRecorder recorder(context_.gateway.journal, caller);
        auto outcomes = directory().apply(*resources, recorder.callback());
        if (!outcomes) return recorder.failed(std::move(outcomes).error());
        for (std::size_t i = 0; i < resources->size(); ++i) {
            auto& item = *response.add_items();
            std::visit(
                [&](const auto& resource) {
                    item.set_kind(std::string(auth::kind_of(resource)));
                    item.set_name(auth::key_of(resource));
                },
                (*resources)[i]);
            item.set_outcome(to_proto((*outcomes)[i]));
        }
        response.set_policy_version(directory().snapshot()->version());
        return {};
    }

    /// They are the audit store's, and so another transaction than the directory's.
    Result<void> apply_retention(const Caller& caller, const v1::ApplyRequest& request, v1::ApplyResponse& response) {
        if (context_.gateway.retention == nullptr) return {Errc::failed_precondition, "there is no audit store"};
        auto resources = read_retention(request);
        if (!resources) return std::move(resources).error();
        AdminRecorder recorder(context_.gateway.journal, caller);
        std::vector<audit::RetentionOutcome> outcomes;
        const auto applying = [&](std::vector<audit::RetentionResource> these) -> ChangeRetention {
            return [&, these = std::move(these)](const audit::RecordRetention& record) -> Result<void> {
                auto applied = context_.gateway.retention->store().apply(these, caller.actor,
                                                                         context_.gateway.clock.utc(), record);
                if (!applied) return std::move(applied).error();
                outcomes = std::move(*applied);
                return {};
            };
        };
        std::vector<ChangeRetention> parts;
        for (const auto& resource : *resources) parts.push_back(applying({resource}));
        auto done = change_retention(context_.gateway.two_person, caller, recorder, parts, applying(*resources));
        if (!done) return recorder.failed(std::move(done).error());
        for (std::size_t i = 0; i < resources->size(); ++i)
            *response.add_items() = to_item((*resources)[i], outcomes[i]);
        response.set_policy_version(directory().snapshot()->version());
        return {};
    }

    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_resource_service(const ServiceContext& context) {
    return std::make_unique<ResourceServiceImpl>(context);
}

}  // namespace usher::gateway::control
