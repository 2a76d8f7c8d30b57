// policy diff|replay

#include "base/clock.hpp"
#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/resource_input.hpp"
#include "clients/usherctl/tail.hpp"
#include "usher/v1/resource.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

/// With --exit-code, beside those of every command.
constexpr int exit_differs = 3;
/// How often a replay says on standard error how far it is.
constexpr std::chrono::seconds progress_every{2};

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

struct ReplayOptions {
    std::string path, format, since = "30d";
    bool exit_code = false;
};

/// What became of the accesses that were looked at.
struct ReplayCounts {
    std::uint64_t judged = 0, flips = 0, not_by_policy = 0, account_gone = 0, session_not_on_record = 0,
                  account_changed = 0;
    void add(const v1::ReplayPoliciesResponse& page) {
        judged += page.judged();
        flips += static_cast<std::uint64_t>(page.flips_size());
        not_by_policy += page.not_by_policy();
        account_gone += page.account_gone();
        session_not_on_record += page.session_not_on_record();
        account_changed += page.account_changed();
    }
    std::uint64_t looked_at() const { return judged + not_by_policy + account_gone + session_not_on_record; }
    std::string text() const {
        std::string out =
            std::to_string(judged) + " accesses judged, " + std::to_string(flips) + " would be decided otherwise\n";
        const auto line = [&](std::uint64_t count, std::string_view what) {
            if (count != 0) out += std::to_string(count) + " " + std::string(what) + "\n";
        };
        line(not_by_policy, "not judged: no policy had decided about them");
        line(account_gone, "not judged: their account is gone, and its groups with it");
        line(session_not_on_record,
             "not judged: rules ask for a device or a second factor, which their records do not say");
        line(account_changed, "judged by groups and roles as they are now, of accounts that have changed since");
        return out;
    }
};

void replay(const Settings& settings, const ReplayOptions& options) {
    const auto since = parse_since(options.since, base::SystemClock{}.utc());
    if (!since) throw Failure{since.error().message, exit_usage};
    const auto file = options.path.empty() ? ResourceFile{} : read_resource_file(options.path);
    const auto channel = open_channel(settings);
    const auto stub = v1::ResourceService::NewStub(channel->channel());
    v1::ReplayPoliciesRequest request;
    *request.mutable_resources() = file.request.resources();
    *request.mutable_since() = to_timestamp(*since);
    request.set_page_size(page_size);
    ReplayCounts counts;
    std::optional<std::uint64_t> version;
    auto told = std::chrono::steady_clock::now();
    list_all<v1::PolicyFlip>(options.format, 0, [&](const std::string& token, std::vector<v1::PolicyFlip>& page) {
        request.set_page_token(token);
        grpc::ClientContext context;
        channel->prepare(context);
        v1::ReplayPoliciesResponse response;
        require(*channel, file, stub->ReplayPolicies(&context, request, &response));
        page.assign(response.flips().begin(), response.flips().end());
        counts.add(response);
        if (version && *version != response.policy_version())
            complain("usherctl", "the directory has changed meanwhile; what follows is judged by the new one");
        version = response.policy_version();
        if (const auto now = std::chrono::steady_clock::now(); now - told >= progress_every) {
            told = now;
            complain("usherctl", std::to_string(counts.looked_at()) + " accesses so far, up to " +
                                     shown_time(response.has_reached(), response.reached()));
        }
        return response.next_page_token();
    });
    if (options.format == "table")
        print(counts.text());
    else
        std::fputs(counts.text().c_str(), stderr);
    if (options.exit_code && counts.flips != 0) throw Failure{"", exit_differs};
}

void add_replay(CLI::App& policy, const Settings& settings) {
    auto* command = policy.add_subcommand(
        "replay", "Which accesses on record would be decided otherwise if a file were applied, or by the policies now");
    auto options = std::make_shared<ReplayOptions>();
    command->add_option("FILE", options->path, "Apps and policies as for apply; - is standard input; default: none");
    command->add_option("--since", options->since, "From a time on: 15m, 1h, 30d back, or RFC 3339")
        ->capture_default_str();
    command->add_flag("--exit-code", options->exit_code, "Exit with 3 when anything would be decided otherwise");
    auto format = add_output(command, {"table", "json", "csv"});
    command->footer(examples({"usherctl policy replay", "usherctl policy replay --since 7d policies.yaml",
                              "usherctl policy replay --exit-code -o json policies.yaml > flips.jsonl"}));
    command->callback([=, &settings] {
        options->format = *format;
        replay(settings, *options);
    });
}

}  // namespace

void add_policy_change_commands(CLI::App& policy, const Settings& settings) {
    add_replay(policy, settings);
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
