// connect, forward

#include <pthread.h>
#include <signal.h>

#include <memory>
#include <thread>

#include "clients/common/gateway_call.hpp"
#include "clients/common/program.hpp"
#include "clients/common/pump.hpp"
#include "clients/usher/commands.hpp"
#include "clients/usher/forwarder.hpp"
#include "clients/usher/local_session.hpp"
#include "clients/usher/up/through_agent.hpp"

namespace usher::clients::agent {

namespace {

/// "host:port", or the host and the port as two words, the host of which may be an IPv6 address without brackets.
struct ConnectOptions {
    std::string target;
    std::string port;
    std::string text() const {
        if (port.empty()) return target;
        return target.find(':') == std::string::npos || target.starts_with('[') ? target + ":" + port
                                                                                : "[" + target + "]:" + port;
    }
};

void run_connect(const ConnectOptions& options) {
    auto destination = parse_endpoint(options.text());
    if (!destination) throw Failure{destination.error().message, exit_usage};
    const SavedSession session = current_session();
    const auto fail = [&](const base::Error& error) {
        fail_with({error.code, destination->to_string() + ": " + error.message});
    };
    const LocalEnd standard{STDIN_FILENO, STDOUT_FILENO};
    PumpResult result;
    auto through_agent = tunnel_through_agent(session, *destination);
    if (!through_agent) fail(through_agent.error());
    if (*through_agent) {
        result = pump(standard, **through_agent, nullptr);
    } else {
        const TlsTrust trust = trust_of(session);
        auto tunnel = open_tunnel(trust, session.gateway, *destination, session.token);
        if (!tunnel) fail(tunnel.error());
        result = pump(standard, tunnel->connection, tunnel->early, nullptr);
    }
    switch (result.end) {
        case PumpResult::End::finished:
            return;
        case PumpResult::End::local_gone:
            throw Failure{""};  // as quietly as SIGPIPE would have ended us
        default:
            throw Failure{destination->to_string() + ": " + result.detail};
    }
}

/// SIGINT and SIGTERM set `stop` while this lives. They are taken by a thread of their own, so that no code runs inside
/// of a handler.
class SignalWatch {
public:
    explicit SignalWatch(StopSignal& stop) {
        ::sigemptyset(&signals_);
        ::sigaddset(&signals_, SIGINT);
        ::sigaddset(&signals_, SIGTERM);
        ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
        thread_ = std::thread([this, &stop] {
            int number = 0;
            ::sigwait(&signals_, &number);
            stop.set();
        });
    }
    ~SignalWatch() {
        // Wakes the thread where no signal came.
        ::pthread_kill(thread_.native_handle(), SIGTERM);
        thread_.join();
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    SignalWatch(const SignalWatch&) = delete;
    SignalWatch& operator=(const SignalWatch&) = delete;

private:
    sigset_t signals_{};
    sigset_t before_{};
    std::thread thread_;
};

struct ForwardOptions {
    std::vector<std::string> rules;
    bool allow_remote_clients = false;
};

void run_forward(const ForwardOptions& options) {
    std::vector<ForwardRule> rules;
    for (const auto& text : options.rules) {
        auto rule = parse_forward_rule(text);
        if (!rule) throw Failure{rule.error().message, exit_usage};
        if (!options.allow_remote_clients && !rule->local.is_loopback_address())
            throw Failure{
                rule->local.to_string() +
                    " is no loopback address: everybody who reaches it would use your session. If that is wanted, "
                    "say --allow-remote-clients",
                exit_usage};
        rules.push_back(std::move(*rule));
    }
    const SavedSession session = current_session();
    const TlsTrust trust = trust_of(session);
    StopSignal stop;
    const SignalWatch watch(stop);
    try {
        run_forwarder(rules, session, trust, stop);
    } catch (...) {
        stop.set();  // what is open must end before the failure can go on
        throw;
    }
}

}  // namespace

void add_tunnel_commands(CLI::App& app) {
    {
        auto* command =
            app.add_subcommand("connect", "Connect standard input and output to HOST:PORT through the gateway");
        auto options = std::make_shared<ConnectOptions>();
        command->add_option("DESTINATION", options->target, "HOST:PORT, such as db.corp.example:5432, or HOST alone")
            ->required();
        command->add_option("PORT", options->port, "The port, where DESTINATION is a host alone");
        command->footer(examples({"ssh -o ProxyCommand='usher connect %h %p' build.corp.example",
                                  "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | usher connect crm.corp.example:80"}));
        command->callback([options] { run_connect(*options); });
    }
    {
        auto* command =
            app.add_subcommand("forward", "Listen on local ports and carry their connections through the gateway");
        auto options = std::make_shared<ForwardOptions>();
        command
            ->add_option("RULE", options->rules,
                         "LOCAL=HOST:PORT; LOCAL is ADDRESS:PORT or a port of 127.0.0.1, 0 for a free one")
            ->required();
        command->add_flag("--allow-remote-clients", options->allow_remote_clients,
                          "Let LOCAL be an address that other machines reach; they use your session then");
        command->footer(examples({"usher forward 127.0.0.1:5432=db.corp.example:5432",
                                  "usher forward 0=db.corp.example:5432 8080=crm.corp.example:80"}));
        command->callback([options] { run_forward(*options); });
    }
}

}  // namespace usher::clients::agent
