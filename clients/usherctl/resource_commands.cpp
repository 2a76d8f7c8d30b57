// apply, get, delete

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/listings.hpp"
#include "clients/usherctl/resource_input.hpp"
#include "usher/v1/resource.grpc.pb.h"
#include "usher/v1/retention.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

std::string outcome_name(v1::ApplyResponse::Outcome::Value outcome) {
    return base::to_lower(v1::ApplyResponse::Outcome::Value_Name(outcome));
}

void apply(const Settings& settings, const std::string& path, const std::string& format) {
    const auto file = read_resource_file(path);
    const auto channel = open_channel(settings);
    const auto stub = v1::ResourceService::NewStub(channel->channel());
    grpc::ClientContext context;
    channel->prepare(context);
    v1::ApplyResponse response;
    require(*channel, file, stub->Apply(&context, file.request, &response));
    if (format == "json") {
        print(to_json_line(response));
        return;
    }
    std::string lines;
    for (const auto& item : response.items())
        lines += base::escape_for_terminal(item.kind() + "/" + item.name()) + " " + outcome_name(item.outcome()) + "\n";
    print(lines);
}

template <class Service, class Request>
void remove(const Settings& settings, const std::string& kind, const std::string& collection, const std::string& name,
            grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, google::protobuf::Empty*)) {
    const auto channel = open_channel(settings);
    const auto stub = Service::NewStub(channel->channel());
    grpc::ClientContext context;
    channel->prepare(context);
    Request request;
    request.set_name(collection + "/" + name);
    google::protobuf::Empty response;
    channel->require((stub.get()->*method)(&context, request, &response));
    print(kind + "/" + base::escape_for_terminal(name, 100) + " deleted\n");
}

}  // namespace

void add_resource_commands(CLI::App& app, const Settings& settings) {
    {
        auto* command = app.add_subcommand(
            "apply",
            "Create or change apps, policies and departments, or retention classes and holds, from YAML: all of a "
            "file or nothing");
        auto path = std::make_shared<std::string>();
        command->add_option("-f,--file", *path, "The file; - is standard input")->required()->type_name("FILE");
        auto format = add_output(command, {"table", "json"});
        command->footer(
            examples({"usherctl apply -f resources.yaml", "usherctl get apps -o yaml | usherctl apply -f -"}));
        command->callback([=, &settings] { apply(settings, *path, *format); });
    }
    {
        auto* command = app.add_subcommand("get", "List what there is of one kind");
        auto kind = std::make_shared<std::string>();
        command->add_option("KIND", *kind, "What to list")
            ->required()
            ->check(CLI::IsMember(
                {"accounts", "apps", "policies", "departments", "retention_classes", "holds", "sessions", "accesses"}));
        auto format = add_output(command, {"table", "json", "yaml"});
        command->footer(
            examples({"usherctl get apps", "usherctl get apps -o yaml > apps.yaml", "usherctl get accesses -o json"}));
        command->callback([=, &settings] {
            if (*kind == "accounts") list_accounts(settings, *format);
            if (*kind == "apps") list_apps(settings, *format);
            if (*kind == "policies") list_policies(settings, *format);
            if (*kind == "departments") list_departments(settings, *format);
            if (*kind == "retention_classes") list_retention_classes(settings, *format);
            if (*kind == "holds") list_holds(settings, *format);
            if (*kind == "sessions") list_sessions(settings, "", *format);
            if (*kind == "accesses") list_accesses(settings, {}, *format);
        });
    }
    {
        auto* command =
            app.add_subcommand("delete",
                               "Delete an app, a policy or a department, and cut the accesses that stood on it; "
                               "delete a hold; put the built-in values of a retention class back");
        auto kind = std::make_shared<std::string>();
        auto name = std::make_shared<std::string>();
        command->add_option("KIND", *kind, "app, policy, department, hold or retention_class")
            ->required()
            ->check(CLI::IsMember({"app", "policy", "department", "hold", "retention_class"}));
        command->add_option("NAME", *name, "Its name")->required();
        command->footer(examples({"usherctl delete policy finance-uses-crm", "usherctl delete app crm"}));
        command->callback([=, &settings] {
            using Resources = v1::ResourceService;
            using Retention = v1::RetentionService;
            if (*kind == "app") remove<Resources>(settings, *kind, "apps", *name, &Resources::Stub::DeleteApp);
            if (*kind == "policy")
                remove<Resources>(settings, *kind, "policies", *name, &Resources::Stub::DeletePolicy);
            if (*kind == "department")
                remove<Resources>(settings, *kind, "departments", *name, &Resources::Stub::DeleteDepartment);
            if (*kind == "hold") remove<Retention>(settings, *kind, "holds", *name, &Retention::Stub::DeleteHold);
            if (*kind == "retention_class")
                remove<Retention>(settings, *kind, "retention_classes", *name, &Retention::Stub::DeleteRetentionClass);
        });
    }
}

}  // namespace usher::clients::control
