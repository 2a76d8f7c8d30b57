// account delete

#include <unistd.h>

#include <iostream>

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/deletion_text.hpp"
#include "usher/v1/account.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

/// What goes with the account, as it is to be printed.
std::string consequences(const ControlChannel& channel, const std::string& name, const std::string& format,
                         bool must_know) {
    v1::PreviewAccountDeletionRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    channel.prepare(context);
    v1::PreviewAccountDeletionResponse preview;
    const auto status =
        v1::AccountService::NewStub(channel.channel())->PreviewAccountDeletion(&context, request, &preview);
    const bool older = status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
    if (older && !must_know) return "what goes with the account is not known: the gateway is older than usherctl\n";
    channel.require(status);
    return format == "json" ? to_json_line(preview) : deletion_text(preview);
}

/// Asks where a person sits at both ends; a script has said what it wants.
bool agreed() {
    if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) return true;
    print("Delete it? [y/N] ");
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace

void add_account_delete(CLI::App* account, const Settings& settings) {
    auto* command = account->add_subcommand("delete",
                                            "Delete an account: its sessions and accesses end at once. Says first what "
                                            "that is, at all gateways of the database, and asks at a terminal");
    auto username = std::make_shared<std::string>();
    auto dry_run = std::make_shared<bool>(false);
    auto yes = std::make_shared<bool>(false);
    command->add_option("USERNAME", *username, "The account")->required();
    command->add_flag("--dry-run", *dry_run, "Say what would end, and delete nothing");
    command->add_flag("-y,--yes", *yes, "Do not ask");
    auto format = std::make_shared<std::string>("text");
    command->add_option("-o,--output", *format, "Form of what is said first: text for people, json for programs")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->footer(examples({"usherctl account delete alice --dry-run", "usherctl account delete alice --yes"}));
    command->callback([=, &settings] {
        const auto channel = open_channel(settings);
        const std::string name = "accounts/" + *username;
        print(consequences(*channel, name, *format, *dry_run || *format == "json"));
        if (*dry_run) return;
        if (!*yes && !agreed()) throw Failure{"nothing was deleted"};
        v1::DeleteAccountRequest request;
        request.set_name(name);
        grpc::ClientContext context;
        channel->prepare(context);
        google::protobuf::Empty response;
        channel->require(v1::AccountService::NewStub(channel->channel())->DeleteAccount(&context, request, &response));
        if (*format == "text") print("account " + base::escape_for_terminal(*username, 100) + " deleted\n");
    });
}

}  // namespace usher::clients::control
