// What tails of the audit cost, and how far they are behind: usher_bench_tails [--readers N] [--counting N] [--stalled
// N]
// [--rate N] [--seconds N] [--batches] [--json].
//
// A gateway's journal, store and control server are in one process, on files of their own; `--readers` subscribers that
// read and `--stalled` that never do are in another one, over the control socket; of those who read `--counting` only
// count what comes, as cheaply as it can be done (counting_reader.hpp), and tell nothing of how far they are behind.
// `--rate` events a second are appended for `--seconds`, each waited for by nobody, as PROGRESS is. Then it says how
// far the readers were behind (from an event's recorded_at until it is in the subscriber's hands), whether each had
// every event once and in order, how long a durable append took meanwhile (ten a second), how much CPU a message took
// at both ends, how much memory the gateway took at most, and how many subscribers it cut off. Exits with 1 where a
// reader missed an event or had one twice.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "audit/audit.hpp"
#include "auth/devices.hpp"
#include "auth/directory.hpp"
#include "auth/sessions.hpp"
#include "base/text.hpp"
#include "gateway/control/control_server.hpp"
#include "gateway/control/revocations.hpp"
#include "in_process.hpp"
#include "tails/counting_reader.hpp"
#include "usher/v1/audit.grpc.pb.h"

namespace {

using namespace usher;
using namespace usher::bench;
using namespace std::chrono_literals;
namespace v1 = usher::v1;
using Steady = std::chrono::steady_clock;

struct Options {
    int readers = 100, counting = 0, stalled = 0, rate = 5000, seconds = 10;
    bool json = false, batches = false;
};

Options read_options(int count, char** arguments) {
    Options out;
    for (int i = 1; i < count; ++i) {
        const std::string name = arguments[i];
        if (name == "--json" || name == "--batches") {
            (name == "--json" ? out.json : out.batches) = true;
            continue;
        }
        int* number = name == "--readers"    ? &out.readers
                      : name == "--counting" ? &out.counting
                      : name == "--stalled"  ? &out.stalled
                      : name == "--rate"     ? &out.rate
                      : name == "--seconds"  ? &out.seconds
                                             : nullptr;
        const auto value =
            number != nullptr && i + 1 < count ? base::parse_unsigned(arguments[++i], 100'000) : std::nullopt;
        if (!value) {
            std::fprintf(stderr,
                         "usage: usher_bench_tails [--readers N] [--counting N] [--stalled N] [--rate N] [--seconds N] "
                         "[--batches] [--json]\n");
            std::exit(2);
        }
        *number = static_cast<int>(*value);
    }
    return out;
}

double at(std::vector<double>& sorted_later, double share) {
    if (sorted_later.empty()) return 0;
    std::sort(sorted_later.begin(), sorted_later.end());
    return sorted_later[std::min(sorted_later.size() - 1, static_cast<std::size_t>(share * sorted_later.size()))];
}

// --- the subscribers' process ------------------------------------------------------------------------------------

struct Subscribers {
    std::mutex mutex;
    std::vector<double> lags_ms;
    int wrong = 0, complete = 0;
};

/// Whose library reads far ahead of it, as gRPC does by itself, or no more than the 64 KiB that HTTP/2 begins with.
std::unique_ptr<v1::AuditService::Stub> connect(const std::string& socket, bool far_ahead) {
    grpc::ChannelArguments arguments;
    if (!far_ahead) arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::AuditService::NewStub(
        grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
}

v1::TailRequest request(bool batches) {
    v1::TailRequest out;
    out.set_follow(true);
    out.set_filter("type = access");
    out.set_batches(batches);
    return out;
}

void read_all(const std::string& socket, const Options& options, Subscribers& out, std::atomic<int>& ready) {
    const auto stub = connect(socket, true);
    grpc::ClientContext call;
    const auto reader = stub->Tail(&call, request(options.batches));
    v1::TailResponse item;
    std::vector<double> lags;
    int seen = 0;
    std::uint64_t last = 0;
    bool wrong = false;
    const int events = options.rate * options.seconds;
    const auto take = [&](const v1::AuditEvent& event) {
        const auto& time = event.recorded_at();
        const double recorded_s = static_cast<double>(time.seconds()) + time.nanos() / 1e9;
        const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
        lags.push_back((now.count() - recorded_s) * 1e3);
        wrong = wrong || event.sequence() <= last;
        last = event.sequence();
        ++seen;
    };
    while (seen < events && reader->Read(&item)) {
        if (!item.heartbeat_cursor().empty() && seen == 0) ++ready;
        if (item.has_event()) take(item.event());
        for (const auto& event : item.events()) take(event);
    }
    call.TryCancel();
    (void)reader->Finish();
    std::lock_guard lock(out.mutex);
    out.lags_ms.insert(out.lags_ms.end(), lags.begin(), lags.end());
    out.wrong += wrong || seen < events;
    out.complete += seen == events;
}

void count_all(const std::string& socket, const Options& options, Subscribers& out, std::atomic<int>& ready) {
    const auto begun = [](void* count) { ++*static_cast<std::atomic<int>*>(count); };
    const auto events = static_cast<std::uint64_t>(options.rate) * static_cast<std::uint64_t>(options.seconds);
    const auto counted = bench::count_tail(socket, request(options.batches), events, begun, &ready);
    std::lock_guard lock(out.mutex);
    out.wrong += counted.wrong;
    out.complete += !counted.wrong;
}

/// Says 'r' when all readers have begun; reads for as long as it takes; then one line for the other process.
int subscribe(const Options& options, const std::string& socket, int to_parent) {
    for (int i = 0; i < 1000 && !std::filesystem::exists(socket); ++i) std::this_thread::sleep_for(10ms);
    Subscribers all;
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < options.readers; ++i)
        threads.emplace_back(
            [&, counts = i < options.counting] { (counts ? count_all : read_all)(socket, options, all, ready); });
    struct Stalled {
        std::unique_ptr<v1::AuditService::Stub> stub;
        grpc::ClientContext call;
        std::unique_ptr<grpc::ClientReader<v1::TailResponse>> reader;
    };
    std::vector<std::unique_ptr<Stalled>> stalled;
    for (int i = 0; i < options.stalled; ++i) {
        auto& one = *stalled.emplace_back(std::make_unique<Stalled>());
        one.stub = connect(socket, false);
        one.reader = one.stub->Tail(&one.call, request(options.batches));
        one.reader->WaitForInitialMetadata();
    }
    while (ready < options.readers) std::this_thread::sleep_for(10ms);
    if (::write(to_parent, "r", 1) != 1) return 2;
    for (auto& thread : threads) thread.join();
    for (auto& one : stalled) {
        one->call.TryCancel();
        v1::TailResponse item;
        while (one->reader->Read(&item)) {
        }
        (void)one->reader->Finish();
    }
    const std::string line = std::to_string(at(all.lags_ms, 0.5)) + " " + std::to_string(at(all.lags_ms, 0.99)) + " " +
                             std::to_string(at(all.lags_ms, 1)) + " " + std::to_string(all.complete) + " " +
                             std::to_string(all.wrong) + "\n";
    return ::write(to_parent, line.data(), line.size()) == static_cast<ssize_t>(line.size()) ? 0 : 2;
}

// --- the gateway's process ---------------------------------------------------------------------------------------

double resident_mib() {
    std::ifstream file("/proc/self/statm");
    long size = 0, resident = 0;
    file >> size >> resident;
    return static_cast<double>(resident * ::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

struct Gateway {
    Gateway(const std::string& folder, std::atomic<int>& cut)
        : database(open_database("sqlite:" + folder + "/usher.db")) {
        directory = must(auth::Directory::open(*database, clock));
        sessions = must(auth::Sessions::open(*database, clock, {}));
        audit::JournalOptions journal_options;
        journal_options.directory = folder + "/journal";
        journal = must(audit::Journal::open(journal_options, clock));
        store = std::make_unique<audit::Store>(*database);
        shipper = audit::Shipper::start(*journal, *store, clock);
        hashing = std::make_unique<auth::HashingWorker>(64, auth::HashCost{1, 8192});
        std::vector<base::Secret> keys;
        keys.emplace_back(std::string(32, 'k'));
        factors = std::make_unique<auth::SecondFactors>(*database, clock, must(auth::SealingKeys::of(std::move(keys))));
        devices = must(auth::Devices::open(*database, clock, factors->keys(), {}));
        const auto nothing_open = [](const auth::Affected&) { return std::uint64_t{0}; };
        revocations = must(gateway::control::Revocations::open({.directory = *directory,
                                                                .sessions = *sessions,
                                                                .devices = *devices,
                                                                .journal = *journal,
                                                                .clock = clock,
                                                                .cut_off = cut_off,
                                                                .enforce = nothing_open,
                                                                .enforce_known = nothing_open,
                                                                .session_ended = {},
                                                                .file = folder + "/revocations"}));
        revocations->start();
        gateway::control::TailLimits tails;
        tails.stall = base::Microseconds{3'000'000};
        tails.on_cut = [&cut] { ++cut; };
        server = must(gateway::control::ControlServer::start(
            folder + "/control.sock", {.directory = *directory,
                                       .sessions = *sessions,
                                       .hashing = *hashing,
                                       .second_factors = *factors,
                                       .journal = *journal,
                                       .store = *store,
                                       .shipper = *shipper,
                                       .clock = clock,
                                       .revocations = *revocations,
                                       .open_accesses = [](auto, auto) { return std::optional<std::uint64_t>(0); },
                                       .enforce = nothing_open,
                                       .tails = std::move(tails)}));
    }
    ~Gateway() {
        revocations->stop();
        server.reset();
        revocations.reset();
        shipper.reset();
        journal.reset();
    }

    base::SystemClock clock;
    std::unique_ptr<base::sql::Database> database;
    std::unique_ptr<auth::Directory> directory;
    std::unique_ptr<auth::Sessions> sessions;
    std::unique_ptr<audit::Journal> journal;
    std::unique_ptr<audit::Store> store;
    std::unique_ptr<audit::Shipper> shipper;
    std::unique_ptr<auth::HashingWorker> hashing;
    std::unique_ptr<auth::SecondFactors> factors;
    std::unique_ptr<auth::Devices> devices;
    gateway::CutOff cut_off;
    std::unique_ptr<gateway::control::Revocations> revocations;
    std::unique_ptr<gateway::control::ControlServer> server;
};

v1::AccessRecord record(const base::Clock& clock) {
    v1::AccessRecord out;
    out.set_access_id(base::new_uuid(clock).to_string());
    out.set_event(v1::AccessEventType::DENIED);
    out.set_username("alice");
    out.set_account_id("01900000-0000-7000-8000-000000000001");
    out.set_app("crm");
    out.set_destination_host("crm.example.internal");
    out.set_client_ip("192.0.2.17");
    out.add_reasons("deny-rule");
    return out;
}

/// At most ten events a second wait until they are durable; returns how long those took, in ms.
std::vector<double> append_all(Gateway& gateway, const Options& options, double& resident_max) {
    std::vector<double> waits;
    const auto began = Steady::now();
    const int events = options.rate * options.seconds;
    auto next_wait = began;
    for (int i = 0; i < events; ++i) {
        std::this_thread::sleep_until(began + std::chrono::nanoseconds(1'000'000'000ll * i / options.rate));
        const auto append = audit::encode(record(gateway.clock));
        if (i + 1 < events && Steady::now() < next_wait) {
            gateway.journal->append(append, {});
            continue;
        }
        const auto before = Steady::now();
        must(gateway.journal->append_and_wait(append));
        waits.push_back(std::chrono::duration<double, std::milli>(Steady::now() - before).count());
        next_wait = Steady::now() + 100ms;
        resident_max = std::max(resident_max, resident_mib());
    }
    return waits;
}

}  // namespace

int main(int count, char** arguments) {
    const Options options = read_options(count, arguments);
    char name[] = "/tmp/usher-bench-tails-XXXXXX";
    const std::string folder = ::mkdtemp(name);
    int pipe_ends[2];
    if (::pipe(pipe_ends) != 0) return 2;
    // Before there are threads, and before gRPC is used.
    const pid_t child = ::fork();
    if (child < 0) return 2;
    if (child == 0) {
        ::close(pipe_ends[0]);
        std::_Exit(subscribe(options, folder + "/control.sock", pipe_ends[1]));
    }
    ::close(pipe_ends[1]);
    std::atomic<int> cut{0};
    double resident_max = 0, resident_before = 0;
    std::vector<double> waits;
    std::string told;
    double took_s = 0, gateway_s = 0;
    {
        Gateway gateway(folder, cut);
        char byte = 0;
        if (::read(pipe_ends[0], &byte, 1) != 1) return 2;
        resident_before = resident_mib();
        gateway_s = -cpu_s();
        const auto began = Steady::now();
        waits = append_all(gateway, options, resident_max);
        while (::read(pipe_ends[0], &byte, 1) == 1) told += byte;
        took_s = std::chrono::duration<double>(Steady::now() - began).count();
        gateway_s += cpu_s();
        resident_max = std::max(resident_max, resident_mib());
    }
    int status = 0;
    rusage readers_used{};
    ::wait4(child, &status, 0, &readers_used);
    std::filesystem::remove_all(folder);
    double p50 = 0, p99 = 0, most = 0;
    int complete = 0, wrong = 0;
    if (std::sscanf(told.c_str(), "%lf %lf %lf %d %d", &p50, &p99, &most, &complete, &wrong) != 5) return 2;
    const double wait_p50 = at(waits, 0.5), wait_p99 = at(waits, 0.99);
    const double messages = std::max(1.0, 1.0 * options.readers * options.rate * options.seconds);
    std::printf(
        options.json
            ? "{\"readers\":%d,\"counting\":%d,\"stalled\":%d,\"rate\":%d,\"seconds\":%d,\"took_s\":%.2f,\"lag_ms_"
              "p50\":%.2f,"
              "\"lag_ms_p99\":%.2f,\"lag_ms_max\":%.2f,\"complete\":%d,\"wrong\":%d,\"append_ms_p50\":%.2f,"
              "\"append_ms_p99\":%.2f,\"messages_per_s\":%.0f,\"gateway_cpu_us\":%.2f,\"readers_cpu_us\":%.2f,"
              "\"resident_mib_before\":%.1f,\"resident_mib_max\":%.1f,\"cut\":%d}\n"
            : "%d readers, %d of them counting, %d stalled, %d events/s for %d s: everything was read after %.2f s; "
              "behind by p50 %.2f "
              "ms, p99 %.2f ms, at most %.2f ms; %d had all, %d not; durable append p50 %.2f ms, p99 %.2f ms; "
              "%.0f messages/s, CPU of each %.2f us in the gateway and %.2f us in the readers; resident %.1f MiB, at "
              "most %.1f MiB; %d cut off\n",
        options.readers, options.counting, options.stalled, options.rate, options.seconds, took_s, p50, p99, most,
        complete, wrong, wait_p50, wait_p99, messages / took_s, gateway_s * 1e6 / messages,
        cpu_s(readers_used) * 1e6 / messages, resident_before, resident_max, cut.load());
    return wrong == 0 && complete == options.readers ? 0 : 1;
}
