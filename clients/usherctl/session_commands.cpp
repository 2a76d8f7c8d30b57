// session list|revoke

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/listings.hpp"
#include "usher/v1/session.grpc.pb.h"

namespace usher::clients::control {

namespace v1 = usher::v1;

void add_session_commands(CLI::App& app, const Settings& settings) {
    auto* group = app.add_subcommand("session", "List and revoke sessions");
    group->require_subcommand(1);
    group->footer(examples({"usherctl session list --account alice", "usherctl session revoke --account alice"}));
    {
        auto* command = group->add_subcommand("list", "List the sessions that stand");
        auto account = std::make_shared<std::string>();
        command->add_option("--account", *account, "Those of one account only");
        auto format = add_output(command, {"table", "json", "yaml"});
        command->footer(examples({"usherctl session list", "usherctl session list --account alice -o json"}));
        command->callback([=, &settings] { list_sessions(settings, *account, *format); });
    }
    {
        auto* command =
            group->add_subcommand("revoke", "End sessions; returns when every access that stood on them is cut");
        auto id = std::make_shared<std::string>();
        auto account = std::make_shared<std::string>();
        command->add_option("ID", *id, "One session, as session list shows it");
        command->add_option("--account", *account, "All sessions of one account");
        command->footer(examples({"usherctl session revoke 01936b2e-7a40-7c3e-9d55-0242ac120002",
                                  "usherctl session revoke --account alice"}));
        command->callback([=, &settings] {
            if (id->empty() == account->empty())
                throw Failure{"session revoke takes an ID or --account USERNAME, one of the two", exit_usage};
            v1::RevokeSessionsRequest request;
            if (id->empty())
                request.set_account(*account);
            else
                request.set_session_id(*id);
            const auto channel = open_channel(settings);
            const auto stub = v1::SessionService::NewStub(channel->channel());
            grpc::ClientContext context;
            channel->prepare(context);
            v1::RevokeSessionsResponse response;
            channel->require(stub->RevokeSessions(&context, request, &response));
            print("sessions revoked: " + std::to_string(response.revoked_sessions()) +
                  ", accesses closed: " + std::to_string(response.closed_accesses()) + "\n");
        });
    }
}

}  // namespace usher::clients::control
