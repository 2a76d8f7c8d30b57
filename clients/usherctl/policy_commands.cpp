// policy explain; diff and replay are in policy_change_commands.cpp

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "usher/v1/resource.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

struct Question {
    std::string account, app, from, at, second_factor_age, device, format;
    std::vector<std::string> posture;
};

std::string shown(const std::string& text) { return base::escape_for_terminal(text, 200); }

std::string why_not(const std::string& unmet) {
    if (unmet == "device") return "there is no such device: it is not enrolled, or not in a state of its list";
    if (unmet == "posture") return "the device does not say what is asked for";
    if (unmet == "second-factor") return "the second factor is missing or too old";
    return "the " + unmet + " is not in its list";
}

void show(const Question& question, const v1::ExplainPolicyResponse& answer) {
    std::string text = shown(question.account) + (answer.allow() ? " may use " : " may not use ") +
                       shown(question.app) + ": " + shown(answer.reason());
    if (!answer.conditions().empty())
        text += " (" + base::escape_for_terminal(joined(answer.conditions(), "; "), 4000) + ")";
    text += "\n";
    if (!answer.rules().empty()) {
        Table table({{"POLICY"}, {"RULE"}, {"MATCHES"}, {"WHY NOT"}});
        for (const auto& rule : answer.rules())
            table.add({rule.policy(), rule.rule(), rule.matches() ? "yes" : "no",
                       rule.matches() ? "" : why_not(rule.unmet())});
        text += table.render();
    }
    print(text);
}

void explain(const Settings& settings, const Question& question) {
    v1::ExplainPolicyRequest request;
    request.set_account(question.account);
    request.set_app(question.app);
    request.set_client_ip(question.from);
    request.set_second_factor_age(question.second_factor_age);
    request.set_device(question.device);
    request.mutable_posture()->Assign(question.posture.begin(), question.posture.end());
    if (!question.at.empty()) {
        const auto time = base::parse_rfc3339(question.at);
        if (!time) throw Failure{"--at: expected a time such as 2026-11-23T10:00:00Z", exit_usage};
        *request.mutable_at() = to_timestamp(*time);
    }
    const auto channel = open_channel(settings);
    const auto stub = v1::ResourceService::NewStub(channel->channel());
    grpc::ClientContext context;
    channel->prepare(context);
    v1::ExplainPolicyResponse answer;
    channel->require(stub->ExplainPolicy(&context, request, &answer));
    if (question.format == "json")
        print(to_json_line(answer));
    else
        show(question, answer);
}

}  // namespace

void add_policy_commands(CLI::App& app, const Settings& settings) {
    auto* group = app.add_subcommand("policy", "Ask what the policies decide, why, and what a change would mean");
    group->require_subcommand(1);
    group->footer(examples({"usherctl policy explain --account alice --app crm", "usherctl policy diff policies.yaml",
                            "usherctl policy replay --since 7d policies.yaml"}));
    add_policy_change_commands(*group, settings);
    auto* command = group->add_subcommand(
        "explain", "Whether an account may use an app now, and what each rule about that app says of it");
    auto question = std::make_shared<Question>();
    command->add_option("--account", question->account, "The account's username")->required();
    command->add_option("--app", question->app, "The app's name")->required();
    command->add_option("--from", question->from, "The client's address; without it no rule with networks matches");
    command->add_option("--at", question->at, "A moment, such as 2026-11-23T10:00:00Z; default: now");
    command->add_option("--second-factor-age", question->second_factor_age,
                        "How old the session's second factor is, such as 1h; without it there is none");
    command->add_option("--device", question->device,
                        "The id of the enrolled device that the session is bound to; without it there is none");
    command
        ->add_option("--posture", question->posture,
                     "What the device says of itself, such as disk_encrypted or 'os_version = 12'; may be repeated; "
                     "without it, nothing")
        ->allow_extra_args(false);
    auto format = add_output(command, {"table", "json"});
    command->footer(examples({"usherctl policy explain --account alice --app crm",
                              "usherctl policy explain --account alice --app crm --posture 'not disk_encrypted'",
                              "usherctl policy explain --account alice --app crm --second-factor-age 13h",
                              "usherctl policy explain --account alice --app crm --from 10.1.2.3 --at "
                              "2026-11-23T22:00:00Z"}));
    command->callback([=, &settings] {
        question->format = *format;
        explain(settings, *question);
    });
}

}  // namespace usher::clients::control
