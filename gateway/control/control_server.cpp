#include "gateway/control/control_server.hpp"

#include <fcntl.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <mutex>
#include <optional>
#include <vector>

#include "gateway/control/services.hpp"
#include "gateway/control/status.hpp"
#include "gateway/control/tail.hpp"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Error;
using base::Result;

constexpr std::size_t unary_threads = 2;
constexpr std::size_t unary_queue = 256;
constexpr std::size_t urgent_threads = 2;
constexpr int message_bytes_max = 4 << 20;
constexpr int metadata_bytes_max = 16 << 10;
constexpr int streams_per_connection_max = 100;
constexpr std::size_t memory_bytes_max = 64u << 20;
constexpr int threads_max = 16;  ///< of the synchronous reflection service

/// Takes the umask for the moment in which gRPC creates the socket file.
class Umask {
public:
    explicit Umask(mode_t mask) : before_(::umask(mask)) {}
    ~Umask() { ::umask(before_); }
    Umask(const Umask&) = delete;
    Umask& operator=(const Umask&) = delete;

private:
    mode_t before_;
};

std::string system_error(const std::string& what) { return what + ": " + std::strerror(errno); }

/// Whether somebody answers on the socket file.
bool is_served(const sockaddr_un& address) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const bool busy = !connected && errno == EAGAIN;  // its backlog is full
    ::close(fd);
    return connected || busy;
}

/// Makes way for the socket: what a crash left is removed, anything else is not ours to remove.
Result<void> clear_path(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return {Errc::invalid_argument, path + ": the path of a Unix socket has 1 to " +
                                            std::to_string(sizeof address.sun_path - 1) +
                                            " bytes; use a shorter data_dir"};
    }
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) {
        if (errno == ENOENT) return {};
        return {Errc::failed_precondition, system_error(path)};
    }
    if (!S_ISSOCK(found.st_mode)) {
        return {Errc::failed_precondition, path + ": is in the way and is no socket; move it away"};
    }
    path.copy(address.sun_path, path.size());
    if (is_served(address)) return {Errc::failed_precondition, path + ": another process serves it"};
    if (::unlink(path.c_str()) != 0) return {Errc::failed_precondition, system_error(path)};
    return {};
}

/// What no service of the tunnel's server answers: a stranger learns nothing, not even what there is.
class UnknownMethods final : public grpc::CallbackGenericService {
public:
    explicit UnknownMethods(const CallerPolicy& callers) : callers_(callers) {}

    grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* call) override {
        class Answer final : public grpc::ServerGenericBidiReactor {
        public:
            explicit Answer(grpc::Status status) { Finish(std::move(status)); }
            void OnDone() override { delete this; }
        };
        if (!callers_.identify(call->client_metadata(), call->peer())) return new Answer(unauthenticated());
        return new Answer({grpc::StatusCode::UNIMPLEMENTED, "there is no such method"});
    }

private:
    const CallerPolicy& callers_;
};

/// Reflection and health answer without asking who calls, so only the local server has them. The reflection plug-in
/// adds itself to every builder of the process.
class NoPlugins final : public grpc::ServerBuilderOption {
public:
    void UpdateArguments(grpc::ChannelArguments*) override {}
    void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override { plugins->clear(); }
};

/// One server and its own instances of the services.
struct Served {
    Served(const ControlDependencies& gateway, const CallerPolicy& callers, Executor& executor, Executor& urgent,
           TailHub& tails)
        : context{gateway, callers, executor, urgent, tails} {
        for (auto* make : {make_account_service, make_resource_service, make_session_service, make_audit_service}) {
            services.push_back(make(context));
        }
        if (gateway.operation != nullptr) services.push_back(make_gateway_service(context));
        if (gateway.devices != nullptr) services.push_back(make_device_service(context));
        if (gateway.retention != nullptr) services.push_back(make_retention_service(context));
        if (gateway.sinks != nullptr) services.push_back(make_sink_service(context));
    }

    void configure(grpc::ServerBuilder& builder, const grpc::ResourceQuota& quota) {
        for (const auto& service : services) builder.RegisterService(service.get());
        builder.SetMaxReceiveMessageSize(message_bytes_max);
        builder.SetResourceQuota(quota);
        builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, metadata_bytes_max);
        builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, streams_per_connection_max);
    }

    ServiceContext context;
    std::vector<std::unique_ptr<grpc::Service>> services;
    std::unique_ptr<grpc::CallbackGenericService> unknown;
    std::unique_ptr<grpc::Server> server;  // goes first
};

}  // namespace

struct ControlServer::Impl {
    explicit Impl(ControlDependencies dependencies)
        : gateway(std::move(dependencies)),
          tunnel_policy(gateway.directory, gateway.sessions, gateway.clock, gateway.revocations),
          executor(unary_threads, unary_queue),
          urgent(urgent_threads, unary_queue),
          tails(gateway.journal, gateway.store, gateway.clock, gateway.tails) {
        quota.Resize(memory_bytes_max);
        quota.SetMaxThreads(threads_max);
    }

    Result<void> listen(const std::string& path) {
        if (auto ok = clear_path(path); !ok) return ok;
        auto& served = local.emplace(gateway, local_policy, executor, urgent, tails);
        grpc::EnableDefaultHealthCheckService(true);
        grpc::reflection::InitProtoReflectionServerBuilderPlugin();
        grpc::ServerBuilder builder;
        served.configure(builder, quota);
        builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
        builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
        builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
        {
            Umask private_file(0177);
            served.server = builder.BuildAndStart();
        }
        if (!served.server) {
            return {Errc::failed_precondition, path + ": cannot listen there; is the directory writable?"};
        }
        struct stat made {};
        if (::lstat(path.c_str(), &made) != 0) return {Errc::internal, system_error(path)};
        if (!S_ISSOCK(made.st_mode) || (made.st_mode & 0777) != 0600) {
            return {Errc::internal, path + ": was not created as a socket of mode 0600"};
        }
        return {};
    }

    Result<void> start_tunnels() {
        auto& served = tunnels.emplace(gateway, tunnel_policy, executor, urgent, tails);
        served.unknown = std::make_unique<UnknownMethods>(tunnel_policy);
        grpc::ServerBuilder builder;
        served.configure(builder, quota);
        builder.RegisterCallbackGenericService(served.unknown.get());
        builder.SetOption(std::make_unique<NoPlugins>());
        builder.SetOption(std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
        served.server = builder.BuildAndStart();
        if (!served.server) return {Errc::internal, "gRPC could not start the server of the tunnels"};
        return {};
    }

    ControlDependencies gateway;
    LocalPolicy local_policy;
    TunnelPolicy tunnel_policy;
    grpc::ResourceQuota quota{"usher-control"};
    // Tasks use the servers' calls: the servers end, and wait for their calls, before the executors do.
    Executor executor, urgent;
    TailHub tails;
    std::optional<Served> local, tunnels;

    std::mutex mutex;  ///< of what follows, and of handing sockets to a server that may be stopping
    bool stopping = false;
    std::vector<std::future<void>> shutdowns;
};

ControlServer::ControlServer() = default;

Result<std::unique_ptr<ControlServer>> ControlServer::start(std::string socket_path, ControlDependencies dependencies) {
    std::unique_ptr<ControlServer> control(new ControlServer());
    control->impl_ = std::make_unique<Impl>(std::move(dependencies));
    if (auto ok = control->impl_->start_tunnels(); !ok) return std::move(ok).error();
    if (auto ok = control->impl_->listen(socket_path); !ok) return std::move(ok).error();
    return control;
}

ControlServer::~ControlServer() {
    if (!impl_) return;
    stop(base::Microseconds{0});
    for (auto& shutdown : impl_->shutdowns) shutdown.wait();
}

Result<void> ControlServer::serve_tunnel(int fd, TunnelOrigin origin) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        const Error error{Errc::internal, system_error("the tunnel's socket")};
        ::close(fd);
        return error;
    }
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopping) {
        ::close(fd);
        return {Errc::unavailable, "the gateway is stopping"};
    }
    impl_->tunnel_policy.opened(fd, std::move(origin));
    grpc::AddInsecureChannelFromFd(impl_->tunnels->server.get(), fd);
    return {};
}

void ControlServer::stop(base::Microseconds deadline) {
    const auto until = std::chrono::system_clock::now() + deadline;
    {
        std::lock_guard lock(impl_->mutex);
        if (!impl_->stopping) {
            impl_->stopping = true;
            impl_->tails.stop();
            impl_->executor.stop();
            impl_->urgent.stop();
            for (auto* served : {&impl_->local, &impl_->tunnels}) {
                if (!*served || !(*served)->server) continue;
                // gRPC waits without a bound for handlers that are still in the database: it does so on a thread of its
                // own.
                impl_->shutdowns.push_back(std::async(
                    std::launch::async, [server = (*served)->server.get(), until] { server->Shutdown(until); }));
            }
        }
    }
    for (auto& shutdown : impl_->shutdowns) shutdown.wait_until(until);
}

}  // namespace usher::gateway::control
