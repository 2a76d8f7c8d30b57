// login, logout, token, apps, status

#include <memory>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "clients/common/gateway_call.hpp"
#include "clients/common/json.hpp"
#include "clients/common/login.hpp"
#include "clients/common/program.hpp"
#include "clients/common/sign_in.hpp"
#include "clients/common/table.hpp"
#include "clients/usher/commands.hpp"
#include "clients/usher/device_commands.hpp"
#include "clients/usher/local_session.hpp"
#include "clients/usher/posture_commands.hpp"
#include "clients/usher/status_report.hpp"
#include "clients/usher/up/through_agent.hpp"

namespace usher::clients::agent {

namespace {

namespace json = boost::json;

std::shared_ptr<std::string> add_output(CLI::App* command) {
    auto format = std::make_shared<std::string>("table");
    command->add_option("-o,--output", *format, "Form of the answer")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    return format;
}

json::object ask(const SavedSession& session, std::string_view path) {
    const TlsTrust trust = trust_of(session);
    auto answer = get_json(trust, session, path);
    if (!answer) fail_with(answer.error());
    auto object = parse_json_object(*answer);
    if (!object) throw Failure{"the gateway's answer: " + object.error().message};
    return std::move(*object);
}

/// Asks the gateway what it knows of the session.
GatewayWord ask_about(const SavedSession& session) {
    auto trust = TlsTrust::load(session.ca_file);
    if (!trust) return {GatewayWord::Kind::unreachable, {}, trust.error().message};
    try {
        if (auto identity = device_identity()) trust->present(std::move(*identity));
    } catch (const Failure& failure) {
        // Without the key the gateway would say that the session is over, which it is not.
        return {GatewayWord::Kind::unreachable, {}, failure.message};
    }
    const auto answer =
        call_gateway(*trust, session.gateway, {"GET", "/.usher/v1/sessions/current", &session.token, {}});
    if (!answer) return {GatewayWord::Kind::unreachable, {}, answer.error().message};
    const bool over = answer->head.status == 401;
    if (!over && answer->head.status != 200)
        return {GatewayWord::Kind::unreachable, {}, refusal_text(answer->head, answer->body)};
    auto object = parse_json_object(answer->body);
    if (!object) return {GatewayWord::Kind::unreachable, {}, "its answer: " + object.error().message};
    return {over ? GatewayWord::Kind::over : GatewayWord::Kind::valid, std::move(*object), {}};
}

void show_status(const std::string& format) {
    const auto session = must(load_session(session_file()));
    const auto now = base::SystemClock{}.utc();
    std::optional<GatewayWord> word;
    if (session && session->expires_at > now) word = ask_about(*session);
    std::optional<json::object> agent;
    if (const auto told = must(ask_agent_status())) agent = must(parse_json_object(*told));
    const auto report = report_status(session, word, now);
    auto key = device_store().key_shown();
    if (!key) complain("usher", key.error().message);
    const auto device_key = key ? std::move(*key) : std::nullopt;
    if (format == "json")
        print(json::serialize(status_json(report, session, word, agent, device_key)) + "\n");
    else
        print(status_table(report, session, word, agent, device_key));
    if (report.state != StatusReport::State::signed_in) throw Failure{report.words};
}

void show_apps(const std::string& format) {
    const SavedSession session = current_session();
    const json::object answer = ask(session, "/.usher/v1/apps");
    const auto* apps = answer.if_contains("apps");
    if (apps == nullptr || !apps->is_array()) throw Failure{"the gateway's answer has no list of apps"};
    Table table({{"APP"}, {"DESTINATIONS"}});
    for (const auto& app : apps->get_array()) {
        if (!app.is_object()) throw Failure{"the gateway's answer has an app that is no object"};
        if (format == "json") {
            print(json::serialize(app) + "\n");
            continue;
        }
        std::string destinations;
        if (const auto* list = app.get_object().if_contains("destinations"); list != nullptr && list->is_array())
            for (const auto& destination : list->get_array()) {
                if (!destination.is_string()) continue;
                if (!destinations.empty()) destinations += ", ";
                destinations += destination.get_string().c_str();
            }
        table.add({json_text(app.get_object(), "name").value_or(""), destinations});
    }
    if (format != "json") print(table.render());
}

}  // namespace

void add_session_commands(CLI::App& app) {
    {
        auto* command =
            app.add_subcommand("login", "Sign in at a gateway; the session is kept in a file that only you can read");
        auto options = std::make_shared<LoginOptions>();
        command->add_option("--gateway", options->gateway, "HOST:PORT of the gateway")
            ->required()
            ->envname("USHER_GATEWAY");
        command->add_option("--ca", options->ca_file, "FILE of the gateway's authority (PEM); default: the system's")
            ->type_name("FILE")
            ->envname("USHER_CA");
        command->add_option("--username", options->username, "Your username")->required();
        add_secret_options(command, *options);
        auto without_device = std::make_shared<bool>(false);
        command->add_flag("--without-device", *without_device,
                          "Sign in as a device that is not enrolled, where this one's key is lost or cannot be used");
        command->footer(examples(
            {"usher login --gateway gate.corp.example:8443 --username alice",
             "usher login --gateway 127.0.0.1:8443 --ca data/tls/ca.pem --username alice --password-stdin < file",
             "usher login --gateway gate.corp.example:8443 --username alice --code 287082"}));
        command->callback([options, without_device] {
            auto device = *without_device ? std::optional<DeviceIdentity>() : device_identity();
            const auto session =
                log_in(*options, session_file(), device_id_file(), std::move(device), declined_or_all());
            if (!*without_device) renew_device(session);
            print("signed in as " + base::escape_for_terminal(session.username, 100) + " at " +
                  session.gateway.to_string() + " until " + short_time(session.expires_at) + "\n");
            report_this_device(session);
        });
    }
    {
        auto* command = app.add_subcommand("logout", "Sign out; every connection of the session ends");
        auto forget = std::make_shared<bool>(false);
        command->add_flag("--forget", *forget,
                          "Drop the session from this machine even when the gateway cannot be reached");
        command->footer(examples({"usher logout"}));
        command->callback([forget] {
            // A token that is not there must not keep anybody signed in on this machine.
            const auto device = *forget ? device_identity_if_any() : device_identity();
            print(log_out("usher", session_file(), *forget, device));
        });
    }
    {
        auto* command = app.add_subcommand("token", "Print the session's token, for scripts; whoever has it is you");
        command->footer(
            examples({"curl -p -x https://127.0.0.1:8443 --proxy-cacert ca.pem \\",
                      "     --proxy-header \"Proxy-Authorization: Bearer $(usher token)\" https://crm.corp.example/"}));
        command->callback([] {
            const SavedSession session = current_session();
            print(session.token.reveal());
            print("\n");
        });
    }
    {
        auto* command = app.add_subcommand("apps", "List the apps that you may use");
        auto format = add_output(command);
        command->footer(examples({"usher apps", "usher apps -o json"}));
        command->callback([format] { show_apps(*format); });
    }
    {
        auto* command = app.add_subcommand(
            "status", "Show who is signed in, where and until when, what the agent does, and what is wrong");
        auto format = add_output(command);
        command->footer(examples({"usher status", "usher status -o json"}));
        command->callback([format] { show_status(*format); });
    }
}

}  // namespace usher::clients::agent
