// up

#include <sys/prctl.h>
#include <sys/resource.h>

#include <memory>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/notify.hpp"
#include "base/text.hpp"
#include "clients/common/private_file.hpp"
#include "clients/common/program.hpp"
#include "clients/usher/commands.hpp"
#include "clients/usher/local_session.hpp"
#include "clients/usher/up/agent.hpp"

namespace usher::clients::agent {

namespace {

struct UpOptions {
    std::string socks, config_file;
    bool any_local_user = false;
};

/// Beside what every command does.
void protect_process() {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
}

UpConfig configuration(const UpOptions& options) {
    UpConfig config;
    const std::string file = options.config_file.empty() ? up_config_file() : options.config_file;
    const auto text = must(read_private_file(file, false));
    if (!text && !options.config_file.empty())
        throw Failure{base::escape_for_terminal(file) + ": there is no such file"};
    if (text) config = must(parse_up_config(*text, file));
    if (options.socks.empty()) return config;
    auto socks = parse_endpoint(options.socks, true);
    if (!socks) throw Failure{"--socks: " + socks.error().message, exit_usage};
    if (!socks->is_loopback_address())
        throw Failure{"--socks: " + socks->to_string() +
                          " is no loopback address: everybody who reaches it would use your session",
                      exit_usage};
    config.socks = std::move(*socks);
    return config;
}

void run_up(const UpOptions& options) {
    Agent::Options to_run{configuration(options), session_file(), declined_file(), must(agent_directory()),
                          options.any_local_user};
    static const base::SystemClock clock;
    Agent agent(std::move(to_run), clock);
    protect_process();
    agent.run([&agent] {
        base::log_info("the agent serves", {{"address", agent.local_address()},
                                            {"pac", "http://" + agent.local_address() + "/proxy.pac"},
                                            {"forwards", agent.forwards().size()}});
        for (const auto& rule : agent.forwards()) base::log_info("forwarding", {{"local", rule.local.to_string()}});
        base::notify("READY=1\nSTATUS=serves " + agent.local_address());
    });
    base::notify("STOPPING=1");
    base::log_info("the agent has stopped");
}

}  // namespace

void add_up_command(CLI::App& app) {
    auto* command = app.add_subcommand(
        "up", "Serve a local SOCKS5 and HTTP proxy, a PAC file and forwards, through the gateway, until it is stopped");
    auto options = std::make_shared<UpOptions>();
    command->add_option("--socks", options->socks,
                        "ADDRESS:PORT to listen on, a loopback address; port 0 for a free one; default 127.0.0.1:1080");
    command
        ->add_option("--config", options->config_file,
                     "FILE with 'socks' and 'forwards' (YAML); default: ~/.config/usher/up.yaml, if there is one")
        ->type_name("FILE");
    command->add_flag("--any-local-user", options->any_local_user,
                      "Serve programs of other users of this machine too; they use your session then");
    command->footer(examples({"usher up", "curl --socks5-hostname 127.0.0.1:1080 http://crm.corp.example/",
                              "curl -x http://127.0.0.1:1080 https://crm.corp.example/",
                              "chromium --proxy-pac-url=http://127.0.0.1:1080/proxy.pac",
                              "usher up --socks 127.0.0.1:0 --config up.yaml"}));
    command->callback([options] { run_up(*options); });
}

}  // namespace usher::clients::agent
