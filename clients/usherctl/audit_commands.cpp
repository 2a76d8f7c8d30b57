// audit tail|query|export|status

#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/listings.hpp"
#include "clients/usherctl/tail.hpp"
#include "usher/v1/audit.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

std::string behind(const v1::AuditStatus& status) {
    std::string text = std::to_string(status.unshipped_events()) + " events";
    if (status.has_shipping_lag()) text += ", the oldest for " + std::to_string(status.shipping_lag().seconds()) + " s";
    return text;
}

void show_status(const Settings& settings, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::AuditService::NewStub(channel->channel());
    grpc::ClientContext context;
    channel->prepare(context);
    v1::AuditStatus status;
    channel->require(stub->GetAuditStatus(&context, v1::GetAuditStatusRequest{}, &status));
    if (format == "json") {
        print(to_json_line(status));
        return;
    }
    KeyValues rows;
    rows.add("gateway", status.gateway_id());
    rows.add("durable up to", std::to_string(status.durable_sequence()));
    rows.add("in the store up to", std::to_string(status.shipped_sequence()));
    rows.add("not in the store yet", behind(status));
    rows.add("store", status.store_error().empty() ? "in order" : status.store_error());
    if (status.parked_records() > 0)
        rows.add("parked", std::to_string(status.parked_records()) +
                               " records that the store refused; see 'usherctl audit parked list'");
    rows.add("open accesses", std::to_string(status.open_accesses()));
    print(rows.render());
}

}  // namespace

void add_audit_commands(CLI::App& app, const Settings& settings) {
    auto* group = app.add_subcommand("audit", "Read the record of what passed");
    group->require_subcommand(1);
    group->footer(examples({"usherctl audit tail --follow", "usherctl audit query --filter 'username = \"alice\"'"}));
    {
        auto* command = group->add_subcommand("tail", "Show the events of all gateways; with --follow, as they come");
        auto options = std::make_shared<TailOptions>();
        command->add_flag("-f,--follow", options->follow,
                          "Go on as events come; reconnects by itself, from where it was");
        command->add_option("--since", options->since,
                            "From a time on: 15m, 1h, 7d back, or RFC 3339; default: 1h, with --follow now");
        command->add_option("--after", options->after, "From behind an event on: its cursor (-o json), of any gateway");
        command->add_option("--filter", options->filter, "Only events that match");
        command->add_option("-o,--output", options->format, "Form of the answer: one line per event")
            ->check(CLI::IsMember({"table", "json", "ocsf"}))
            ->capture_default_str();
        command->footer(examples({"usherctl audit tail --follow --since 1h",
                                  "usherctl audit tail --follow -o json --filter 'app = \"crm\"'"}));
        command->callback([=, &settings] { tail(settings, *options); });
    }
    {
        auto* command =
            group->add_subcommand("query", "Show accesses, one row each with its latest event, newest first");
        auto query = std::make_shared<AccessQuery>();
        command->add_option("--filter", query->filter, "Only accesses that match");
        command->add_option("--limit", query->limit, "At most so many; default: all");
        command->add_flag("--oldest-first", query->oldest_first, "In the order in which they were opened");
        auto format = add_output(command, {"table", "json", "csv", "yaml"});
        command->footer(examples({"usherctl audit query --filter 'app = \"crm\" AND bytes_down > 1000'",
                                  "usherctl audit query --limit 20 -o csv > accesses.csv"}));
        command->callback([=, &settings] { list_accesses(settings, *query, *format); });
    }
    {
        auto* command = group->add_subcommand("export", "Write all accesses that match as JSON lines, oldest first");
        auto query = std::make_shared<AccessQuery>();
        query->oldest_first = true;
        command->add_option("--filter", query->filter, "Only accesses that match");
        command->add_option("--limit", query->limit, "At most so many; default: all");
        auto format = std::make_shared<std::string>("json");
        command
            ->add_option("--format", *format,
                         "json: the record's own fields; ocsf: Network Activity of OCSF 1.3, for a SIEM")
            ->check(CLI::IsMember({"json", "ocsf"}))
            ->capture_default_str();
        command->footer(examples({"usherctl audit export --filter 'department = \"Finance\"' > records.jsonl",
                                  "usherctl audit export --format ocsf > records.ocsf.jsonl"}));
        command->callback([=, &settings] { list_accesses(settings, *query, *format); });
    }
    {
        auto* command = group->add_subcommand("status", "Show how far the record is on disk and in the store");
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl audit status"}));
        command->callback([=, &settings] { show_status(settings, *format); });
    }
    add_parked_commands(*group, settings);
}

}  // namespace usher::clients::control
