// posture show|decline|allow

#include "clients/usher/posture_commands.hpp"

#include <memory>
#include <vector>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "clients/common/program.hpp"
#include "clients/common/sign_in.hpp"
#include "clients/posture/declined.hpp"
#include "clients/posture/report.hpp"
#include "clients/usher/commands.hpp"
#include "clients/usher/local_session.hpp"
#include "clients/usher/posture_view.hpp"

namespace usher::clients::agent {

namespace {

using Gateway = PostureView::Gateway;

constexpr std::string_view everything = "all";

/// The session of this machine as long as its time is not over.
std::optional<SavedSession> live_session() {
    auto session = must(load_session(session_file()));
    if (session && session->expires_at <= base::SystemClock{}.utc()) return std::nullopt;
    return session;
}

Posture collect_this_device(const PostureFields& declined) {
    ScreenLock lock;
    return collect_posture(SystemTree(), lock, declined);
}

/// The report as the session's gateway would get it.
void address(PostureView& view, const std::optional<SavedSession>& session) {
    const bool wants_key = !view.posture.machine_id.empty();
    if (!session) {
        if (wants_key) view.words = "device_uid is made with the key of your enterprise, which a sign-in gives";
        view.posture.machine_id.clear();
        return;
    }
    const auto tenant = ask_tenant(trust_of(*session), *session);
    if (!tenant) {
        view.words = "the gateway " + session->gateway.to_string() +
                     " could not be asked for the key with which device_uid is made: " + tenant.error().message;
        view.posture.machine_id.clear();
    } else if (!*tenant) {
        view.gateway = Gateway::older;
        view.words = "the gateway " + session->gateway.to_string() +
                     " is an older one that takes no reports: only what is said at the sign-in is sent";
        view.posture.machine_id.clear();
    } else {
        view.gateway = Gateway::takes_reports;
        view.posture = addressed(std::move(view.posture), **tenant);
    }
}

void show(const std::string& format) {
    PostureView view;
    view.declined = must(load_declined(declined_file()));
    view.posture = collect_this_device(view.declined);
    address(view, live_session());
    print(format == "json" ? posture_json(view) + "\n" : posture_table(view));
}

PostureFields fields_of(const std::vector<std::string>& names) {
    PostureFields fields;
    for (const auto& name : names) {
        if (name == everything) return fields.set();
        const auto field = posture_field_named(name);
        if (!field) throw Failure{"there is no field '" + base::escape_for_terminal(name, 60) + "'", exit_usage};
        fields.set(index_of(*field));
    }
    return fields;
}

void change(const std::vector<std::string>& names, bool decline, const std::string& format) {
    const auto fields = fields_of(names);
    auto declined = must(load_declined(declined_file()));
    declined = decline ? declined | fields : declined & ~fields;
    must(save_declined(declined_file(), declined));
    if (format == "json") {
        std::string list;
        for (const auto& info : posture_field_infos())
            if (declined[index_of(info.field)]) list += (list.empty() ? "" : ",") + base::json_quote(info.name);
        print("{\"declined\":[" + list + "]}\n");
    } else {
        print(declined.none() ? "nothing is declined\n" : "declined: " + listed(declined) + "\n");
    }
    // What the gateway knows by now is replaced at once.
    if (const auto session = live_session()) report_this_device(*session);
}

void add_format(CLI::App* command, std::string& format) {
    command->add_option("-o,--output", format, "Form of the answer")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
}

void add_change(CLI::App* group, const std::string& name, const std::string& about, bool decline,
                std::initializer_list<std::string_view> lines) {
    auto* command = group->add_subcommand(name, about);
    auto names = std::make_shared<std::vector<std::string>>();
    auto format = std::make_shared<std::string>("table");
    std::vector<std::string> known;
    for (const auto& info : posture_field_infos()) known.emplace_back(info.name);
    known.emplace_back(everything);
    command->add_option("FIELD", *names, "Fields, or all")->required()->check(CLI::IsMember(known));
    add_format(command, *format);
    command->footer(examples(lines));
    command->callback([names, decline, format] { change(*names, decline, *format); });
}

}  // namespace

PostureFields declined_or_all() {
    const auto declined = load_declined(declined_file());
    if (declined) return *declined;
    complain("usher", "nothing is said of this device: " + declined.error().message);
    return PostureFields{}.set();
}

void report_this_device(const SavedSession& session) {
    static constexpr std::string_view failed = "the posture of this device could not be reported: ";
    try {
        const auto declined = must(load_declined(declined_file()));
        const auto posture = collect_this_device(declined);
        const auto result = report_posture(trust_of(session), session, posture);
        if (!result.words.empty()) complain("usher", std::string(failed) + result.words);
    } catch (const Failure& failure) {
        // Whoever signed in is signed in.
        complain("usher", std::string(failed) + failure.message);
    }
}

void add_posture_commands(CLI::App& app) {
    auto* group = app.add_subcommand("posture", "Show what this device says of itself to the gateway; decline parts");
    group->require_subcommand(0, 1);
    auto format = std::make_shared<std::string>("table");
    add_format(group, *format);
    group->footer(
        examples({"usher posture", "usher posture -o json", "usher posture decline battery_percent screen time_zone",
                  "usher posture allow all"}) +
        "\n\nEvery field may be declined: you stay signed in and may sign in. A policy that asks for one finds it not "
        "known.\nThe machine's own ids never leave it. What is declined is kept in ~/.config/usher/posture.yaml.");
    group->callback([group, format] {
        if (group->get_subcommands().empty()) show(*format);
    });
    {
        auto* command =
            group->add_subcommand("show", "Show, field by field, what is sent, what is not known and what is declined");
        add_format(command, *format);
        command->footer(examples({"usher posture show", "usher posture show -o json"}));
        command->callback([format] { show(*format); });
    }
    add_change(group, "decline", "Have fields not sent, from now on", true,
               {"usher posture decline battery_percent screen", "usher posture decline all"});
    add_change(group, "allow", "Have fields sent again that were declined", false,
               {"usher posture allow screen", "usher posture allow all"});
}

}  // namespace usher::clients::agent
