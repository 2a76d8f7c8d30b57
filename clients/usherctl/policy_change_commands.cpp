// policy diff

#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/resource_input.hpp"
#include "usher/v1/resource.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

/// Of `policy diff --exit-code`, beside those of every command.
constexpr int exit_differs = 3;

struct DiffOptions {
    std::string path, format;
    bool exit_code = false;
};

struct DiffCounts {
    std::uint64_t gain = 0, lose = 0, change = 0;
    void add(const v1::PolicyDifference& difference) {
        if (difference.after() > difference.before())
            ++gain;
        else if (difference.after() < difference.before())
            ++lose;
        else
            ++change;
    }
    bool any() const { return gain + lose + change != 0; }
};

void diff(const Settings& settings, const DiffOptions& options) {
    const auto file = read_resource_file(options.path);
    const auto channel = open_channel(settings);
    const auto stub = v1::ResourceService::NewStub(channel->channel());
    v1::DiffPoliciesRequest request;
    *request.mutable_resources() = file.request.resources();
    request.set_page_size(page_size);
    DiffCounts counts;
    list_all<v1::PolicyDifference>(options.format, 0,
                                   [&](const std::string& token, std::vector<v1::PolicyDifference>& page) {
                                       request.set_page_token(token);
                                       grpc::ClientContext context;
                                       channel->prepare(context);
                                       v1::DiffPoliciesResponse response;
                                       require(*channel, file, stub->DiffPolicies(&context, request, &response));
                                       page.assign(response.differences().begin(), response.differences().end());
                                       for (const auto& difference : page) counts.add(difference);
                                       return response.next_page_token();
                                   });
    if (options.format == "table")
        print(std::to_string(counts.gain) + " gained, " + std::to_string(counts.lose) + " lost, " +
              std::to_string(counts.change) + " under other conditions; nothing was applied\n");
    if (options.exit_code && counts.any()) throw Failure{"", exit_differs};
}

}  // namespace

void add_policy_change_commands(CLI::App& policy, const Settings& settings) {
    auto* command = policy.add_subcommand("diff", "Who would gain and who would lose which app if a file were applied");
    auto options = std::make_shared<DiffOptions>();
    command->add_option("FILE", options->path, "Apps and policies as for apply; - is standard input")->required();
    command->add_flag("--exit-code", options->exit_code, "Exit with 3 when anybody gains or loses something");
    auto format = add_output(command, {"table", "json", "csv"});
    command->footer(examples({"usherctl policy diff policies.yaml", "usherctl policy diff - -o csv < policies.yaml"}));
    command->callback([=, &settings] {
        options->format = *format;
        diff(settings, *options);
    });
}

}  // namespace usher::clients::control
