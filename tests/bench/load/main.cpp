// usher_bench_load: the app and the clients of tests/bench/run, the same for each proxy that is measured.
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include "load/app.hpp"
#include "load/loads.hpp"

namespace {

constexpr const char* usage =
    "usage: usher_bench_load app\n"
    "       usher_bench_load download|upload --proxy PORT [--target HOST:PORT] --count BYTES --concurrency N\n"
    "       usher_bench_load short|idle|http2-short|http2-idle --proxy PORT [--target HOST:PORT] --count TUNNELS "
    "--concurrency N\n"
    "       usher_bench_load setup|http2-setup|transfers --proxy PORT [--target HOST:PORT] --count TUNNELS "
    "--concurrency N "
    "--rate "
    "PER_SECOND\n"
    "       usher_bench_load verify --proxy PORT [--target HOST:PORT]\n"
    "BENCH_AUTHORIZATION in the environment is the value of Proxy-Authorization; without it no CONNECT is sent.\n";

int run(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "app") return bench::run_app();
    std::map<std::string, std::string> options;
    for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];

    bench::Route route;
    route.proxy_port = static_cast<std::uint16_t>(std::stoul(options["--proxy"]));
    route.target = options["--target"];
    if (const char* value = std::getenv("BENCH_AUTHORIZATION")) route.authorization = value;
    if (command == "verify") return bench::verify(route);

    bench::Amount amount;
    amount.count = std::stoull(options["--count"]);
    amount.concurrency = static_cast<unsigned>(std::stoul(options["--concurrency"]));
    if (amount.count == 0 || amount.concurrency == 0) throw std::invalid_argument("nothing to do");
    if (command == "download") return bench::download(route, amount);
    if (command == "upload") return bench::upload(route, amount);
    if (command == "short") return bench::short_tunnels(route, amount);
    if (command == "idle") return bench::idle(route, amount);
    if (command == "http2-short") return bench::http2_short(route, amount);
    if (command == "http2-idle") return bench::http2_idle(route, amount);
    if (command == "setup" || command == "http2-setup" || command == "transfers") {
        amount.rate = std::stod(options["--rate"]);
        if (command == "transfers") return bench::transfers(route, amount);
        return command == "setup" ? bench::setup(route, amount) : bench::http2_setup(route, amount);
    }
    throw std::invalid_argument("no such command");
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    try {
        return run(argc, argv);
    } catch (const std::invalid_argument&) {
        std::cerr << usage;
        return 2;
    } catch (const std::exception& e) {
        std::cerr << "usher_bench_load: " << e.what() << "\n";
        return 1;
    }
}
