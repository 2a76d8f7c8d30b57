// login, logout

#include "base/text.hpp"
#include "clients/common/login.hpp"
#include "clients/common/private_file.hpp"
#include "clients/usherctl/commands.hpp"

namespace usher::clients::control {

void add_login_commands(CLI::App& app, const Settings& settings) {
    {
        auto* command =
            app.add_subcommand("login", "Sign in at a gateway as an administrator, auditor or privacy officer");
        auto options = std::make_shared<LoginOptions>();
        command->add_option("--username", options->username, "Your username")->required();
        add_secret_options(command, *options);
        command->footer(examples(
            {"usherctl login --gateway gate.corp.example:8443 --username admin",
             "usherctl login --gateway 127.0.0.1:8443 --ca data/tls/ca.pem --username admin --password-stdin < file"}));
        command->callback([options, &settings] {
            const Settings resolved = resolve_settings(settings);
            if (resolved.gateway.empty()) throw Failure{"login needs a gateway: --gateway HOST:PORT", exit_usage};
            options->gateway = resolved.gateway;
            options->ca_file = resolved.ca_file;
            const std::string directory = must(config_directory("usherctl"));
            const auto session = log_in(*options, session_file(), directory + "/device_id");
            must(write_private_file(config_file(), encode_config({"", session.gateway.to_string(), session.ca_file})));
            print("signed in as " + base::escape_for_terminal(session.username, 100) + " at " +
                  session.gateway.to_string() + " until " + short_time(session.expires_at) + "\n");
        });
    }
    {
        auto* command = app.add_subcommand("logout", "Sign out");
        auto forget = std::make_shared<bool>(false);
        command->add_flag("--forget", *forget,
                          "Drop the session from this machine even when the gateway cannot be reached");
        command->footer(examples({"usherctl logout"}));
        command->callback([forget] { print(log_out("usherctl", session_file(), *forget)); });
    }
}

}  // namespace usher::clients::control
