#include "gateway/sinks/otlp_outlet.hpp"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <fstream>
#include <mutex>

#include "audit/sinks/tls_client.hpp"
#include "base/log.hpp"
#include "base/net.hpp"
#include "gateway/sinks/otlp_answer.hpp"
#include "gateway/sinks/otlp_request.hpp"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"

namespace usher::gateway {
namespace {

namespace collector = opentelemetry::proto::collector::logs::v1;
using audit::sinks::Settings;
using base::Errc;
using base::Result;
using Clock = std::chrono::steady_clock;

/// Receivers take 4 MiB in one request unless they are told otherwise; one that takes less is given less.
constexpr std::size_t request_bytes_max = 3u << 20, request_bytes_min = 64u << 10;
/// An answer is a number and a sentence.
constexpr int answer_bytes_max = 64 << 10;
constexpr std::size_t file_bytes_max = 1u << 20;
/// A connection is not used for longer, so that files that were renewed, and a receiver's new addresses, are seen.
constexpr std::chrono::minutes connection_age_max{10};

Result<std::string> read_pem(const char* key, const std::string& path) {
    std::string text(file_bytes_max + 1, '\0');
    std::ifstream in(path, std::ios::binary);
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, in.gcount())));
    // Without an authority of its own gRPC would trust those of the system.
    if (text.empty() || text.size() > file_bytes_max)
        return {Errc::failed_precondition,
                std::string("'") + key + "': " + path + ": cannot be read, or is over 1 MiB"};
    return text;
}

/// gRPC's name for the address. The scheme is said always: a host may be called "unix".
std::string target_of(const Settings& settings) {
    const auto address = base::IpAddress::parse(settings.host);
    const std::string port = ":" + std::to_string(settings.port);
    if (!address) return "dns:///" + settings.host + port;
    return address->is_v4() ? "ipv4:" + settings.host + port : "ipv6:%5B" + settings.host + "%5D" + port;
}

/// gRPC writes to standard error by itself, a line for each handshake that fails; the sink's error says it already.
void write_grpc_log(gpr_log_func_args* line) { base::log_debug("grpc", {{"message", line->message}}); }

class OtlpOutlet final : public audit::sinks::Outlet {
public:
    OtlpOutlet(Settings settings, std::string host, OtlpLimits limits)
        : settings_(std::move(settings)), host_(std::move(host)), limits_(limits) {}

    Result<void> deliver(std::span<const usher::v1::AuditEvent> events) override {
        pause_ = {};
        const auto until = Clock::now() + limits_.batch;
        otlp::Request request;
        while (!events.empty()) {
            if (auto connected = connect(); !connected) return connected;
            const std::size_t filled = otlp::fill(request, events, host_, request_bytes_);
            auto answer = send(request, std::min(until, Clock::now() + limits_.call));
            if (answer.too_much && filled > 1 && request_bytes_ > request_bytes_min) {
                request_bytes_ = std::max(request_bytes_min, std::min(request_bytes_, request.ByteSizeLong()) / 2);
                continue;
            }
            if (!answer.outcome) return std::move(answer.outcome);
            events = events.subspan(filled);
        }
        return {};
    }

    base::Microseconds pause() const noexcept override { return pause_; }

    void stop() noexcept override {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        if (call_ != nullptr) call_->TryCancel();
    }

private:
    /// Unless there is a connection that may be used still. gRPC connects with the first call.
    Result<void> connect() {
        if (stub_ && Clock::now() - connected_at_ < connection_age_max) return {};
        stub_.reset();
        // gRPC says little of what is wrong with a file. What was right at the start is not the records' fault now.
        if (auto context = audit::sinks::make_client_context(settings_); !context)
            return {Errc::failed_precondition, context.error().message};
        grpc::SslCredentialsOptions tls;
        auto ca = read_pem("ca", settings_.ca);
        if (!ca) return std::move(ca).error();
        tls.pem_root_certs = std::move(*ca);
        if (!settings_.certificate.empty()) {
            auto certificate = read_pem("certificate", settings_.certificate);
            if (!certificate) return std::move(certificate).error();
            auto key = read_pem("private_key", settings_.private_key);
            if (!key) return std::move(key).error();
            tls.pem_cert_chain = std::move(*certificate);
            tls.pem_private_key = std::move(*key);
        }
        grpc::ChannelArguments arguments;
        // What the certificate must be for, which gRPC verifies always.
        arguments.SetSslTargetNameOverride(settings_.server_name.empty() ? settings_.host : settings_.server_name);
        arguments.SetMaxReceiveMessageSize(answer_bytes_max);
        arguments.SetUserAgentPrefix("usherd/" USHER_VERSION);
        // A connection of our own, to the address that was configured: no proxy of the environment's, no settings from
        // DNS, and no tries but ours.
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
        arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
        arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
        stub_ = collector::LogsService::NewStub(
            grpc::CreateCustomChannel(target_of(settings_), grpc::SslCredentials(tls), arguments));
        connected_at_ = Clock::now();
        request_bytes_ = request_bytes_max;  // another receiver may stand there
        return {};
    }

    otlp::Answer send(const otlp::Request& request, Clock::time_point until) {
        grpc::ClientContext call;
        call.set_deadline(std::chrono::system_clock::now() +
                          std::chrono::duration_cast<std::chrono::microseconds>(until - Clock::now()));
        {
            std::lock_guard lock(mutex_);
            if (stopping_) {
                otlp::Answer stopped;
                stopped.outcome = {Errc::unavailable, "the gateway is stopping"};
                return stopped;
            }
            call_ = &call;
        }
        collector::ExportLogsServiceResponse response;
        const auto status = stub_->Export(&call, request, &response);
        {
            std::lock_guard lock(mutex_);
            call_ = nullptr;
        }
        auto answer = otlp::judge(status, response, settings_.address());
        pause_ = answer.pause;
        if (answer.connection_bad) stub_.reset();
        return answer;
    }

    const Settings settings_;
    const std::string host_;
    const OtlpLimits limits_;
    std::unique_ptr<collector::LogsService::Stub> stub_;
    Clock::time_point connected_at_{};
    std::size_t request_bytes_ = request_bytes_max;
    base::Microseconds pause_{0};
    std::mutex mutex_;  ///< of what follows
    grpc::ClientContext* call_ = nullptr;
    bool stopping_ = false;
};

}  // namespace

Result<std::unique_ptr<audit::sinks::Outlet>> make_otlp_outlet(Settings settings, std::string host, OtlpLimits limits) {
    if (auto context = audit::sinks::make_client_context(settings); !context) return std::move(context).error();
    gpr_set_log_function(write_grpc_log);
    return std::unique_ptr<audit::sinks::Outlet>(
        std::make_unique<OtlpOutlet>(std::move(settings), std::move(host), limits));
}

}  // namespace usher::gateway
