#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/no_core.hpp"
#include "base/notify.hpp"
#include "gateway/config.hpp"
#include "gateway/daemon.hpp"
#include "gateway/sinks/sink_outlets.hpp"
#include "gateway/tls/context.hpp"

namespace {

using namespace usher;

int fail(const base::Error& error) {
    std::fprintf(stderr, "usherd: %s\n", error.message.c_str());
    return 1;
}

void protect_process() {
    ::umask(0077);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/// A connection is one descriptor, its app another.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

int check(const gateway::Config& config) {
    if (!config.tls.certificate.empty()) {
        auto context = gateway::tls::make_server_context({config.tls.certificate, config.tls.private_key});
        if (!context) return fail({context.error().code, config.file + ": 'tls': " + context.error().message});
    }
    for (const auto& sink : config.sinks)
        if (auto outlet = gateway::make_sink_outlet(sink); !outlet)
            return fail(
                {outlet.error().code, config.file + ": the sink '" + sink.name + "': " + outlet.error().message});
    std::printf("%s: ok\n", config.file.c_str());
    return 0;
}

/// What an upgrade runs: the paths, not what lies there now. The link is read while it is right: later the file may
/// have been replaced.
base::Result<gateway::upgrade::Program> this_program(const std::string& config) {
    std::error_code error;
    const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return base::Error{base::Errc::internal, "/proc/self/exe: " + error.message()};
    const auto file = std::filesystem::absolute(config, error);
    if (error) return base::Error{base::Errc::internal, config + ": " + error.message()};
    return gateway::upgrade::Program{path.string(), file.string()};
}

int run(gateway::Config config, base::UniqueFd older) {
    protect_process();
    raise_descriptor_limit();
    // Blocked in every thread, and taken one at a time by sigwait() below: no code runs in a signal handler.
    sigset_t signals;
    sigemptyset(&signals);
    for (int signal : {SIGTERM, SIGINT, SIGHUP, gateway::Daemon::wake_signal}) sigaddset(&signals, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error of the write, as a full disk is

    if (auto logging = base::configure_log(config.log); !logging)
        return fail({logging.error().code, "'log': " + logging.error().message});
    static const base::SystemClock clock;
    auto program = this_program(config.file);
    if (!program) return fail(program.error());
    const bool taking_over = static_cast<bool>(older);
    auto daemon = taking_over
                      ? gateway::Daemon::take_over(std::move(config), clock, std::move(*program), std::move(older))
                      : gateway::Daemon::start(std::move(config), clock, std::move(*program));
    if (!daemon) return fail(daemon.error());
    if (!taking_over) base::notify("READY=1");  // else the older process says so: the manager listens to that one
    const gateway::Daemon::NextSignal next_signal = [&signals] {
        const timespec now{0, 0};
        return std::max(::sigtimedwait(&signals, nullptr, &now), 0);
    };
    for (;;) {
        int signal = 0;
        if (::sigwait(&signals, &signal) != 0) continue;
        if (signal == SIGHUP) {
            base::notify("RELOADING=1");
            (*daemon)->reload();
            base::notify("READY=1");
            continue;
        }
        using Daemon = gateway::Daemon;
        bool broken = false;
        if (signal == Daemon::wake_signal) {
            const auto asked = (*daemon)->asked();
            if (asked == Daemon::Asked::nothing) continue;
            if (asked == Daemon::Asked::upgrade) {
                const auto upgraded = (*daemon)->upgrade();
                if (upgraded == Daemon::Upgraded::no) continue;
                broken = upgraded == Daemon::Upgraded::broken;
            }
        }
        (*daemon)->stop(signal, next_signal);
        return broken ? 1 : 0;
    }
}

}  // namespace

int main(int argc, char** argv) {
    base::leave_no_core();
    CLI::App app{"usherd: the Usher zero-trust access gateway", "usherd"};
    std::string path;
    bool only_check = false, version = false;
    int older = -1;
    app.add_option("-c,--config", path, "The configuration file (YAML)");
    app.add_flag("--check", only_check, "Check the configuration and exit: 0, or 1 with file, line, column and key");
    app.add_flag("--version", version, "Print the version and exit");
    app.add_option("--take-over", older, "A descriptor that leads to the process to take over from")
        ->check(CLI::Range(3, 1'000'000))
        ->group("");  // not for people: usherctl upgrade runs it
    app.footer(
        "Examples:\n  usherd --check --config /etc/usher/usher.yaml\n  usherd --config /etc/usher/usher.yaml\n\n"
        "Signals: SIGHUP re-reads certificates and re-opens the log; SIGTERM stops gracefully, a second one at once.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    if (version) {
        std::puts("usherd " USHER_VERSION);
        return 0;
    }
    if (path.empty()) {
        std::fputs("usherd: --config FILE is required; see usherd --help\n", stderr);
        return 2;
    }
    if (::sodium_init() < 0) return fail({base::Errc::internal, "libsodium cannot start"});
    auto config = gateway::load_config(path);
    if (!config) return fail(config.error());
    return only_check ? check(*config) : run(std::move(*config), base::UniqueFd{older});
}
