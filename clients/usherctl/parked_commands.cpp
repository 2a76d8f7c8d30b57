// audit parked list|show|retry|discard: records that the store refused

#include <unistd.h>

#include <iostream>

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "usher/v1/audit.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

struct Parked {
    explicit Parked(const Settings& settings)
        : channel(open_channel(settings)), stub(v1::AuditService::NewStub(channel->channel())) {}

    void list(const std::string& format) const {
        list_all<v1::ParkedRecord>(format, 0,
                                   [&](const std::string& token, std::vector<v1::ParkedRecord>& page) -> std::string {
                                       v1::ListParkedRecordsRequest request;
                                       request.set_page_size(page_size);
                                       request.set_page_token(token);
                                       grpc::ClientContext context;
                                       channel->prepare(context);
                                       v1::ListParkedRecordsResponse response;
                                       channel->require(stub->ListParkedRecords(&context, request, &response));
                                       page.assign(response.parked_records().begin(), response.parked_records().end());
                                       return response.next_page_token();
                                   });
    }

    void show(const std::string& record, const std::string& format) const {
        v1::GetParkedRecordRequest request;
        request.set_record(record);
        grpc::ClientContext context;
        channel->prepare(context);
        v1::ParkedRecord parked;
        channel->require(stub->GetParkedRecord(&context, request, &parked));
        if (format == "json") return print(to_json_line(parked));
        KeyValues rows;
        rows.add("record", parked.record());
        rows.add("recorded at", shown_time(parked.has_recorded_at(), parked.recorded_at()));
        rows.add("event", parked.event());
        if (!parked.access_id().empty()) rows.add("access", parked.access_id());
        rows.add("error", parked.error());
        rows.add("bytes", std::to_string(parked.payload().size()));
        print(rows.render());
        print(parked.has_decoded() ? line_of(parked.decoded()) : "The record cannot be read; -o json has its bytes.\n");
    }

    v1::RetryParkedRecordsResponse retry(const std::string& record, const std::string& after) const {
        v1::RetryParkedRecordsRequest request;
        request.set_record(record);
        request.set_after(after);
        grpc::ClientContext context;
        channel->prepare(context);
        v1::RetryParkedRecordsResponse response;
        channel->require(stub->RetryParkedRecords(&context, request, &response));
        return response;
    }

    void discard(const std::string& record, const std::string& reason) const {
        v1::DiscardParkedRecordRequest request;
        request.set_record(record);
        request.set_reason(reason);
        grpc::ClientContext context;
        channel->prepare(context);
        google::protobuf::Empty empty;
        channel->require(stub->DiscardParkedRecord(&context, request, &empty));
    }

    std::unique_ptr<ControlChannel> channel;
    std::unique_ptr<v1::AuditService::Stub> stub;
};

void retry(const Settings& settings, const std::string& record) {
    const Parked parked(settings);
    std::size_t stored = 0, refused = 0;
    std::string after;
    do {
        const auto response = parked.retry(record, after);
        stored += static_cast<std::size_t>(response.stored_size());
        refused += static_cast<std::size_t>(response.refused_size());
        for (const auto& still : response.refused())
            complain("usherctl", base::escape_for_terminal(still.record() + ": " + still.error()));
        after = response.last();
    } while (record.empty() && !after.empty());
    print(std::to_string(stored) + " stored, " + std::to_string(refused) + " still parked\n");
    if (refused > 0) throw Failure{"the store still refuses " + std::to_string(refused) + " records"};
}

/// Nobody gives a record up by mistake: a person is asked, a script has to say so.
void confirm_discard(const std::string& record) {
    if (::isatty(STDIN_FILENO) == 0)
        throw Failure{"nothing was discarded: add --yes where nobody can be asked", exit_usage};
    std::cerr << "The record " << base::escape_for_terminal(record, 100)
              << " will be gone for good; the stream will show a gap. Type 'discard' to go on: " << std::flush;
    std::string answer;
    if (!std::getline(std::cin, answer) || answer != "discard") throw Failure{"nothing was discarded"};
}

}  // namespace

void add_parked_commands(CLI::App& audit, const Settings& settings) {
    auto* group =
        audit.add_subcommand("parked", "Records that the store refused: look at them, try them again, give one up");
    group->require_subcommand(1);
    {
        auto* command = group->add_subcommand("list", "Show them, each with the reason");
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl audit parked list"}));
        command->callback([=, &settings] { Parked(settings).list(*format); });
    }
    {
        auto* command = group->add_subcommand("show", "Show one of them; with -o json also its bytes");
        auto record = std::make_shared<std::string>();
        command->add_option("record", *record, "GATEWAY:SEQUENCE, as the list shows it")->required();
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl audit parked show 01a00000-0000-7000-8000-000000000001:17"}));
        command->callback([=, &settings] { Parked(settings).show(*record, *format); });
    }
    {
        auto* command =
            group->add_subcommand("retry", "Bring them to their places, now that the cause has been mended");
        auto record = std::make_shared<std::string>();
        command->add_option("record", *record, "GATEWAY:SEQUENCE, as the list shows it; left out: all");
        command->footer(examples({"usherctl audit parked retry"}));
        command->callback([=, &settings] { retry(settings, *record); });
    }
    {
        auto* command = group->add_subcommand("discard", "Give one up for good; your reason is on record");
        auto record = std::make_shared<std::string>();
        auto reason = std::make_shared<std::string>();
        auto yes = std::make_shared<bool>(false);
        command->add_option("record", *record, "GATEWAY:SEQUENCE, as the list shows it")->required();
        command->add_option("--reason", *reason, "Why it is given up")->required();
        command->add_flag("--yes", *yes, "Do not ask");
        command->footer(
            examples({"usherctl audit parked discard 01a00000-0000-7000-8000-000000000001:17 --reason "
                      "'made by a test of the store'"}));
        command->callback([=, &settings] {
            if (!*yes) confirm_discard(*record);
            Parked(settings).discard(*record, *reason);
            print("discarded " + base::escape_for_terminal(*record, 100) + "\n");
        });
    }
}

}  // namespace usher::clients::control
