#pragma once
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/security/credentials.h>
#include <openssl/ec.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "audit/audit.hpp"
#include "audit/retention_runner.hpp"
#include "audit/sinks/sinks.hpp"
#include "auth/devices.hpp"
#include "auth/directory.hpp"
#include "auth/password.hpp"
#include "auth/sessions.hpp"
#include "base/sql/database.hpp"
#include "catch.hpp"
#include "gateway/control/control_server.hpp"
#include "gateway/control/revocations.hpp"
#include "refusing_journal.hpp"

namespace usher::test {

/// A process that keeps what it was asked for.
struct FakeOperation final : gateway::control::Operation {
    Status status() const override {
        Status status;
        status.process_id = 4711;
        status.started_at = base::from_micros(1'000'000);
        status.tunnels = 7;
        status.draining = !drains.empty();
        if (status.draining) status.drain_deadline = base::from_micros(2'000'000);
        return status;
    }
    void drain(std::optional<base::Microseconds> limit) override { drains.push_back(limit); }

    base::Result<void> upgrade(Upgrade upgrade) override {
        if (refuse_upgrade) return base::Error{base::Errc::failed_precondition, "not now"};
        upgrades.push_back(std::move(upgrade));
        return {};
    }

    bool refuse_upgrade = false;
    std::vector<Upgrade> upgrades;                          ///< as drains
    std::vector<std::optional<base::Microseconds>> drains;  ///< read it when the call has returned
};

/// The time as it is, set forward as a test says. Thread-safe.
class ForwardClock final : public base::Clock {
public:
    base::UtcTime utc() const noexcept override { return real_.utc() + ahead_.load(); }
    base::MonoTime mono() const noexcept override { return real_.mono() + ahead_.load(); }
    void advance(base::Microseconds by) { ahead_ = ahead_.load() + by; }

private:
    base::SystemClock real_;
    std::atomic<base::Microseconds> ahead_{base::Microseconds{0}};
};

/// A real control server on a real journal and database in a directory of its own.
struct TestGateway {
    /// On an SQLite of its own, or on the database of that URL.
    explicit TestGateway(gateway::control::TailLimits limits = {}, const std::string& url = {})
        : tails(std::move(limits)) {
        char name[] = "/tmp/usher-control-XXXXXX";
        directory_path = ::mkdtemp(name);
        database = must(base::sql::open_database(url.empty() ? "sqlite:" + directory_path + "/usher.db" : url));
        std::vector<base::sql::Migration> migrations;
        for (const auto& m : auth::Directory::migrations()) migrations.push_back(m);
        for (const auto& m : audit::store_migrations()) migrations.push_back(m);
        REQUIRE(database->migrate(migrations).ok());
        directory = must(auth::Directory::open(*database, clock));
        sessions = must(auth::Sessions::open(*database, clock, {}));
        audit::JournalOptions options;
        options.directory = directory_path + "/journal";
        options.segment_bytes = 1 << 20;
        journal = std::make_unique<RefusingJournal>(must(audit::Journal::open(options, clock)));
        store = std::make_unique<audit::Store>(*database);
        shipper = audit::Shipper::start(*journal, *store, clock);
        retention =
            std::make_unique<audit::RetentionRunner>(*journal, *database, clock, audit::RetentionRunner::Options{});
        sinks = must(audit::sinks::Sinks::start(
            {},
            {journal->gateway_id(), *database, *store, clock, [this] { return shipper->shipped_sequence(); },
             [](const std::string&, std::uint64_t) {}, [](const std::string&) {}},
            [](const audit::sinks::Settings&) -> base::Result<std::unique_ptr<audit::sinks::Outlet>> {
                return base::Error{base::Errc::internal, "there are no sinks here"};
            }));
        hashing = std::make_unique<auth::HashingWorker>(64, auth::HashCost{1, 8192});
        std::vector<base::Secret> keys;
        keys.emplace_back(std::string(32, 'k'));
        second_factors =
            std::make_unique<auth::SecondFactors>(*database, clock, must(auth::SealingKeys::of(std::move(keys))));
        devices = must(auth::Devices::open(*database, clock, second_factors->keys(), {}));
        revocations = must(
            gateway::control::Revocations::open({*directory,
                                                 *sessions,
                                                 *devices,
                                                 *journal,
                                                 clock,
                                                 cut_off,
                                                 [this](const auth::Affected& affected) { return enforce(affected); },
                                                 [this](const auth::Affected& affected) { return enforce(affected); },
                                                 {},
                                                 directory_path + "/revocations"}));
        revocations->start();
        server = must(gateway::control::ControlServer::start(socket(), dependencies()));
    }
    ~TestGateway() {
        revocations->stop();
        server.reset();
        revocations.reset();
        retention.reset();
        sinks.reset();
        shipper.reset();
        journal.reset();
        std::filesystem::remove_all(directory_path);
    }

    template <class T>
    static T must(base::Result<T> result) {
        if (!result) FAIL(result.error().message);
        return std::move(result).value();
    }

    /// From threads of the control API, where nothing may be asserted.
    std::uint64_t enforce(const auth::Affected& affected) {
        if (!affected.nobody()) ++enforced;
        return 2;
    }

    std::string socket() const { return directory_path + "/control.sock"; }
    gateway::control::ControlDependencies dependencies() {
        return {*directory,
                *sessions,
                *hashing,
                *second_factors,
                *journal,
                *store,
                *shipper,
                control_clock,
                *revocations,
                [this](std::span<const std::string> ids, base::Microseconds) {
                    return workers_answer ? std::optional<std::uint64_t>(3 * ids.size()) : std::nullopt;
                },
                [this](const auth::Affected& affected) { return enforce(affected); },
                &operation,
                retention.get(),
                devices.get(),
                sinks.get(),
                tails};
    }

    /// The local administrator's channel.
    std::shared_ptr<grpc::Channel> local() {
        grpc::ChannelArguments arguments;
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        return grpc::CreateCustomChannel("unix:" + socket(), grpc::InsecureChannelCredentials(), arguments);
    }
    /// A channel as a CONNECT tunnel to the control app makes one.
    std::shared_ptr<grpc::Channel> tunnel(const std::optional<auth::DeviceKeyHash>& device_key = {},
                                          const std::string& client_ip = "192.0.2.77") {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        REQUIRE(server->serve_tunnel(fds[1], {device_key, client_ip}).ok());
        return grpc::CreateInsecureChannelFromFd("tunnel", fds[0]);
    }

    /// An account made behind the API's back, and a session of it.
    auth::Account account(const std::string& username, auth::Role role) {
        auth::Account account;
        account.username = username;
        account.role = role;
        auto hash = auth::hash_password(base::Secret(std::string_view("correct horse")), {1, 8192});
        return must(
            directory->create_account(account, *hash, [](const auth::Change&) { return base::Result<void>{}; }));
    }
    /// A device of the account, with a key that nobody keeps.
    auth::Device device(const auth::Account& account) {
        EVP_PKEY* key = EVP_EC_gen("P-256");
        X509_REQ* request = X509_REQ_new();
        X509_REQ_set_pubkey(request, key);
        X509_REQ_sign(request, key, EVP_sha256());
        unsigned char* out = nullptr;
        const int length = i2d_X509_REQ(request, &out);
        const std::string der(reinterpret_cast<char*>(out), static_cast<std::size_t>(length));
        OPENSSL_free(out);
        X509_REQ_free(request);
        EVP_PKEY_free(key);
        auto read = must(auth::CertificateRequest::read(der));
        return must(devices->enroll(account.id, "laptop", read, {})).device;
    }
    struct SignedIn {
        auth::SessionPtr session;
        std::string token;
    };
    SignedIn sign_in(const auth::Account& account) {
        auto created = must(sessions->create(account, "192.0.2.7", {}));
        return {created.session, std::string(created.token.reveal())};
    }

    /// The administrative acts on record, in order.
    std::vector<usher::v1::AdminRecord> acts() const {
        std::vector<usher::v1::AdminRecord> out;
        std::uint64_t after = 0;
        for (;;) {
            auto records = must(journal->read(after, 100, 1 << 20));
            if (records.empty()) return out;
            for (const auto& record : records) {
                after = record.sequence;
                auto event = must(audit::decode(journal->gateway_id(), record));
                if (event.has_admin()) out.push_back(event.admin());
            }
        }
    }

    base::SystemClock clock;
    ForwardClock control_clock;              ///< of the control server alone
    std::atomic<bool> workers_answer{true};  ///< how many accesses they have: three each session
    gateway::control::TailLimits tails;
    FakeOperation operation;
    std::string directory_path;
    std::unique_ptr<base::sql::Database> database;
    std::unique_ptr<auth::Directory> directory;
    std::unique_ptr<auth::Sessions> sessions;
    std::unique_ptr<RefusingJournal> journal;
    std::unique_ptr<audit::Store> store;
    std::unique_ptr<audit::Shipper> shipper;
    std::unique_ptr<audit::sinks::Sinks> sinks;
    std::unique_ptr<audit::RetentionRunner> retention;
    std::unique_ptr<auth::HashingWorker> hashing;
    std::unique_ptr<auth::SecondFactors> second_factors;
    std::unique_ptr<auth::Devices> devices;
    std::atomic<int> enforced{0};
    gateway::CutOff cut_off;
    std::unique_ptr<gateway::control::Revocations> revocations;
    std::unique_ptr<gateway::control::ControlServer> server;
};

/// One call, with a deadline so that no fault of the server hangs the test, and with the bearer's token when there is
/// one.
struct ClientCall : grpc::ClientContext {
    explicit ClientCall(const std::string& token = {}) {
        set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        if (!token.empty()) AddMetadata("authorization", "Bearer " + token);
    }
};

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace usher::test
