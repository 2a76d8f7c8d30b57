// Debian's gRPC and OpenSSL are not built with ThreadSanitizer: a TLS session that goes from one of gRPC's threads to
// another looks like a race in OpenSSL, whose stack does not reach back to gRPC, and which is judged where it is ours.
// AddressSanitizer's build runs these.
#if !defined(__SANITIZE_THREAD__)

#include "gateway/sinks/otlp_outlet.hpp"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include "gateway/tls/generated_identity.hpp"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "tests/unit/gateway/sinks/events.hpp"

using namespace usher;
using namespace usher::test;
using base::Errc;
using gateway::make_otlp_outlet;
namespace collector = opentelemetry::proto::collector::logs::v1;

namespace {

std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

/// A receiver over TLS that keeps the sequences of what it took.
class Receiver final : public collector::LogsService::Service {
public:
    explicit Receiver(const std::string& address = "127.0.0.1", int bytes_max = 4 << 20) {
        char name[] = "/tmp/usher-otlp-XXXXXX";
        directory = ::mkdtemp(name);
        const auto files = gateway::tls::ensure_generated_identity(directory, base::SystemClock().utc());
        REQUIRE(files);
        grpc::SslServerCredentialsOptions tls;
        tls.pem_key_cert_pairs.push_back({text_of(files->private_key), text_of(files->certificate)});
        grpc::ServerBuilder builder;
        builder.SetMaxReceiveMessageSize(bytes_max);
        builder.AddListeningPort((address == "::1" ? "[::1]" : address) + ":0", grpc::SslServerCredentials(tls), &port);
        builder.RegisterService(this);
        server = builder.BuildAndStart();
        settings.name = "otel";
        settings.kind = audit::sinks::Settings::Kind::otlp;
        settings.host = address;
        settings.port = static_cast<std::uint16_t>(port);
        settings.ca = directory + "/ca.pem";
    }
    ~Receiver() override {
        let_go();
        if (server) server->Shutdown();
        std::filesystem::remove_all(directory);
    }

    grpc::Status Export(grpc::ServerContext* context, const collector::ExportLogsServiceRequest* request,
                        collector::ExportLogsServiceResponse*) override {
        std::unique_lock lock(mutex);
        ++calls;
        changed.notify_all();
        while (held && !context->IsCancelled()) changed.wait_for(lock, std::chrono::milliseconds(5));
        if (!answer.ok()) return answer;
        for (const auto& record : request->resource_logs(0).scope_logs(0).log_records())
            for (const auto& each : record.attributes())
                if (each.key() == "usher.sequence") taken.push_back(each.value().int_value());
        return grpc::Status::OK;
    }
    void hold() {
        std::lock_guard lock(mutex);
        held = true;
    }
    void let_go() {
        std::lock_guard lock(mutex);
        held = false;
        changed.notify_all();
    }
    void answer_with(grpc::Status status) {
        std::lock_guard lock(mutex);
        answer = std::move(status);
    }
    std::vector<std::int64_t> taken_so_far() {
        std::lock_guard lock(mutex);
        return taken;
    }
    int calls_so_far() {
        std::lock_guard lock(mutex);
        return calls;
    }
    void wait_for_call() {
        std::unique_lock lock(mutex);
        REQUIRE(changed.wait_for(lock, std::chrono::seconds(60), [&] { return calls > 0; }));
    }

    std::string directory;
    int port = 0;
    std::unique_ptr<grpc::Server> server;
    audit::sinks::Settings settings;
    std::mutex mutex;
    std::condition_variable changed;
    bool held = false;
    int calls = 0;
    grpc::Status answer;
    std::vector<std::int64_t> taken;
};

std::unique_ptr<audit::sinks::Outlet> outlet_to(const audit::sinks::Settings& settings,
                                                gateway::OtlpLimits limits = {}) {
    auto made = make_otlp_outlet(settings, "gw1", limits);
    if (!made) FAIL(made.error().message);
    return std::move(*made);
}

std::vector<std::int64_t> up_to(std::int64_t last) {
    std::vector<std::int64_t> out;
    for (std::int64_t i = 1; i <= last; ++i) out.push_back(i);
    return out;
}

}  // namespace

TEST_CASE("a batch arrives in order, by an address of either kind") {
    const std::string address = GENERATE("127.0.0.1", "::1", "localhost");
    Receiver receiver(address);
    auto outlet = outlet_to(receiver.settings);
    const auto events = some_events(500);
    auto delivered = outlet->deliver(events);
    if (!delivered) FAIL(delivered.error().message);
    CHECK(receiver.taken_so_far() == up_to(500));
    CHECK(receiver.calls_so_far() == 1);
}

TEST_CASE("a receiver that takes less at once gets less") {
    Receiver receiver("127.0.0.1", 200 << 10);
    auto outlet = outlet_to(receiver.settings);
    const auto events = some_events(1000);
    for (int batch = 1; batch <= 2; ++batch) {
        auto delivered = outlet->deliver(events);
        if (!delivered) FAIL(delivered.error().message);
        CHECK(receiver.taken_so_far() == up_to(1000));
        CHECK(receiver.calls_so_far() > 5 * batch);
        {
            std::lock_guard lock(receiver.mutex);
            receiver.taken.clear();
        }
    }
}

TEST_CASE("a receiver that takes nothing however little it is says so") {
    Receiver receiver;
    receiver.answer_with(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full"));
    auto outlet = outlet_to(receiver.settings);
    auto delivered = outlet->deliver(some_events(1000));
    REQUIRE_FALSE(delivered);
    CHECK(delivered.error().message.find("RESOURCE_EXHAUSTED: full") != std::string::npos);
    CHECK(receiver.calls_so_far() < 10);
}

TEST_CASE("nothing is sent to a receiver whose certificate is for another name, or of another authority") {
    Receiver receiver, other;
    auto settings = receiver.settings;
    settings.server_name = "other.example";
    auto delivered = outlet_to(settings)->deliver(some_events(1));
    REQUIRE_FALSE(delivered);
    CHECK(delivered.error().code == Errc::unavailable);
    settings = receiver.settings;
    settings.ca = other.settings.ca;
    REQUIRE_FALSE(outlet_to(settings)->deliver(some_events(1)));
    CHECK(receiver.calls_so_far() == 0);
}

TEST_CASE("without the authority's file no other authority is trusted instead") {
    Receiver receiver;
    const std::string copy = receiver.directory + "/copy.pem";
    std::filesystem::copy_file(receiver.settings.ca, copy);
    auto settings = receiver.settings;
    settings.ca = copy;
    auto outlet = outlet_to(settings);
    std::filesystem::remove(copy);
    auto delivered = outlet->deliver(some_events(1));
    REQUIRE_FALSE(delivered);
    CHECK(delivered.error().code == Errc::failed_precondition);
    CHECK(delivered.error().message.find("'ca': " + copy) == 0);
    CHECK(receiver.calls_so_far() == 0);
    std::filesystem::copy_file(receiver.settings.ca, copy);
    CHECK(outlet->deliver(some_events(1)));
    const auto absent = make_otlp_outlet(
        [&] {
            auto wrong = settings;
            wrong.ca = "/nonexistent/ca.pem";
            return wrong;
        }(),
        "gw1");
    REQUIRE_FALSE(absent);
    CHECK(absent.error().code == Errc::invalid_argument);
    CHECK(absent.error().message.find("'ca': /nonexistent/ca.pem") == 0);
}

TEST_CASE("a receiver that does not answer costs its time, and the next one that does goes on") {
    Receiver receiver;
    gateway::OtlpLimits limits;
    limits.call = std::chrono::milliseconds(300);
    auto outlet = outlet_to(receiver.settings, limits);
    receiver.hold();
    const auto began = std::chrono::steady_clock::now();
    auto delivered = outlet->deliver(some_events(1));
    REQUIRE_FALSE(delivered);
    CHECK(delivered.error().code == Errc::unavailable);
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(15));
    receiver.let_go();
    CHECK_FALSE(delivered.error().message.empty());
    int tries = 0;
    while (!outlet->deliver(some_events(2))) REQUIRE(++tries < 100);
    CHECK(receiver.taken_so_far().size() >= 2);
}

TEST_CASE("a stop ends what is under way, and every later try") {
    Receiver receiver;
    auto outlet = outlet_to(receiver.settings);
    receiver.hold();
    std::thread stopper([&] {
        receiver.wait_for_call();
        outlet->stop();
    });
    const auto began = std::chrono::steady_clock::now();
    CHECK_FALSE(outlet->deliver(some_events(1)));
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(10));  // a call has 20 s
    stopper.join();
    receiver.let_go();
    const int calls = receiver.calls_so_far();
    auto again = outlet->deliver(some_events(1));
    REQUIRE_FALSE(again);
    CHECK(again.error().message == "the gateway is stopping");
    CHECK(receiver.calls_so_far() == calls);
}

TEST_CASE("a pause that the receiver asks for is passed on, until it answers otherwise") {
    Receiver receiver;
    auto outlet = outlet_to(receiver.settings);
    CHECK(outlet->pause() == base::Microseconds{0});
    // google.rpc.Status{details: [Any{"t/google.rpc.RetryInfo", RetryInfo{retry_delay: 2 s}}]}
    const std::string value = std::string("\x0a\x02\x08\x02", 4), type = "t/google.rpc.RetryInfo";
    std::string any =
        std::string("\x0a") + static_cast<char>(type.size()) + type + "\x12" + static_cast<char>(value.size()) + value;
    receiver.answer_with(
        grpc::Status(grpc::StatusCode::UNAVAILABLE, "busy", std::string("\x1a") + static_cast<char>(any.size()) + any));
    auto delivered = outlet->deliver(some_events(1));
    REQUIRE_FALSE(delivered);
    CHECK(delivered.error().message.find("busy") != std::string::npos);
    CHECK(outlet->pause() == base::Microseconds{2'000'000});
    receiver.answer_with(grpc::Status::OK);
    CHECK(outlet->deliver(some_events(1)));
    CHECK(outlet->pause() == base::Microseconds{0});
}

#endif
