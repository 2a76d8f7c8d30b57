#include "base/no_core.hpp"
#include "clients/common/completion.hpp"
#include "clients/common/program.hpp"
#include "clients/device/open_tokens.hpp"
#include "clients/usher/commands.hpp"

int main(int argc, char** argv) {
    usher::base::leave_no_core();
    const usher::clients::device::TokensClosedAtEnd tokens;
    using namespace usher::clients;
    CLI::App app{"usher: reach the applications of your enterprise through its gateway", "usher"};
    configure_app(app);
    app.set_version_flag("--version", "usher " USHER_VERSION);
    app.footer(examples({"usher login --gateway gate.corp.example:8443 --username alice", "usher apps", "usher up",
                         "ssh -o ProxyCommand='usher connect %h %p' build.corp.example",
                         "usher forward 127.0.0.1:5432=db.corp.example:5432"}));
    agent::add_session_commands(app);
    agent::add_second_factor_commands(app);
    agent::add_device_commands(app);
    agent::add_posture_commands(app);
    agent::add_tunnel_commands(app);
    agent::add_up_command(app);
    add_completion_command(app, "usher");
    app.add_subcommand("version", "Print the version")->callback([] { print("usher " USHER_VERSION "\n"); });
    return run_program(app, "usher", argc, argv);
}
