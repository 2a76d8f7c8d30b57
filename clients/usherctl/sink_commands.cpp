// sink list, sink parked list|retry

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "usher/v1/sink.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

void list_sinks(const Settings& settings, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::SinkService::NewStub(channel->channel());
    list_all<v1::Sink>(format, 0, [&](const std::string& token, std::vector<v1::Sink>& page) -> std::string {
        v1::ListSinksRequest request;
        request.set_page_token(token);
        grpc::ClientContext context;
        channel->prepare(context);
        v1::ListSinksResponse response;
        channel->require(stub->ListSinks(&context, request, &response));
        page.assign(response.sinks().begin(), response.sinks().end());
        return response.next_page_token();
    });
}

void list_parked(const Settings& settings, const std::string& sink, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::SinkService::NewStub(channel->channel());
    list_all<v1::ParkedSinkRecord>(
        format, 0, [&](const std::string& token, std::vector<v1::ParkedSinkRecord>& page) -> std::string {
            v1::ListParkedSinkRecordsRequest request;
            request.set_page_size(page_size);
            request.set_page_token(token);
            request.set_sink(sink);
            grpc::ClientContext context;
            channel->prepare(context);
            v1::ListParkedSinkRecordsResponse response;
            channel->require(stub->ListParkedSinkRecords(&context, request, &response));
            page.assign(response.parked_sink_records().begin(), response.parked_sink_records().end());
            return response.next_page_token();
        });
}

void retry_parked(const Settings& settings, const std::string& sink, const std::string& record) {
    const auto channel = open_channel(settings);
    const auto stub = v1::SinkService::NewStub(channel->channel());
    v1::RetryParkedSinkRecordsRequest request;
    request.set_sink(sink);
    request.set_record(record);
    grpc::ClientContext context;
    channel->prepare(context);
    v1::RetryParkedSinkRecordsResponse response;
    channel->require(stub->RetryParkedSinkRecords(&context, request, &response));
    print(std::to_string(response.asked()) +
          " tried again; what is still refused stays in 'usherctl sink parked list'\n");
}

}  // namespace

void add_sink_commands(CLI::App& app, const Settings& settings) {
    auto* group = app.add_subcommand("sink", "Where records are forwarded to: how far, and what was not taken");
    group->require_subcommand(1);
    group->footer(examples({"usherctl sink list", "usherctl sink parked list"}));
    {
        auto* command = group->add_subcommand("list", "Show the sinks of this gateway, how far behind each is and why");
        auto format = add_output(command, {"table", "json", "yaml"});
        command->footer(examples({"usherctl sink list"}));
        command->callback([=, &settings] { list_sinks(settings, *format); });
    }
    auto* parked =
        group->add_subcommand("parked", "Records that a sink does not take: look at them, have them sent again");
    parked->require_subcommand(1);
    {
        auto* command = parked->add_subcommand("list", "Show them, each with the reason");
        auto sink = std::make_shared<std::string>();
        command->add_option("sink", *sink, "The sink's name; left out: of all");
        auto format = add_output(command, {"table", "json", "yaml"});
        command->footer(examples({"usherctl sink parked list siem"}));
        command->callback([=, &settings] { list_parked(settings, *sink, *format); });
    }
    {
        auto* command = parked->add_subcommand("retry", "Have them sent again, now that the cause has been mended");
        auto sink = std::make_shared<std::string>();
        auto record = std::make_shared<std::string>();
        command->add_option("sink", *sink, "The sink's name")->required();
        command->add_option("record", *record, "GATEWAY:SEQUENCE, as the list shows it; left out: all of the sink's");
        command->footer(examples({"usherctl sink parked retry siem"}));
        command->callback([=, &settings] { retry_parked(settings, *sink, *record); });
    }
}

}  // namespace usher::clients::control
