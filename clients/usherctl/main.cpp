#include "base/no_core.hpp"
#include "clients/common/completion.hpp"
#include "clients/usherctl/commands.hpp"

int main(int argc, char** argv) {
    usher::base::leave_no_core();
    using namespace usher::clients;
    CLI::App app{"usherctl: administer an Usher gateway and read its record", "usherctl"};
    configure_app(app);
    app.set_version_flag("--version", "usherctl " USHER_VERSION);
    control::Settings settings;
    app.add_option("--socket", settings.socket,
                   "On the gateway's machine: control.sock in its data_dir [USHERCTL_SOCKET]")
        ->type_name("FILE");
    app.add_option("--gateway", settings.gateway, "From elsewhere: HOST:PORT of the gateway [USHERCTL_GATEWAY]")
        ->type_name("HOST:PORT");
    app.add_option("--ca", settings.ca_file, "The gateway's authority (PEM); default: the system's [USHERCTL_CA]")
        ->type_name("FILE");
    app.footer(examples({"usherctl --socket data/control.sock account create alice --department Finance",
                         "usherctl login --gateway gate.corp.example:8443 --username admin",
                         "usherctl apply -f resources.yaml", "usherctl audit tail --follow"}));
    control::add_login_commands(app, settings);
    control::add_account_commands(app, settings);
    control::add_session_commands(app, settings);
    control::add_device_commands(app, settings);
    control::add_resource_commands(app, settings);
    control::add_policy_commands(app, settings);
    control::add_audit_commands(app, settings);
    control::add_gateway_commands(app, settings);
    control::add_retention_commands(app, settings);
    control::add_sink_commands(app, settings);
    control::add_journal_commands(app);
    add_completion_command(app, "usherctl");
    app.add_subcommand("version", "Print the version")->callback([] { print("usherctl " USHER_VERSION "\n"); });
    return run_program(app, "usherctl", argc, argv);
}
