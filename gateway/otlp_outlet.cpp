#include <grpcpp/grpcpp.h>

#include <fstream>
#include <mutex>
#include <sstream>

#include "audit/ocsf/ocsf.hpp"
#include "audit/sinks/severity.hpp"
#include "audit/sinks/tls_client.hpp"
#include "base/text.hpp"
#include "gateway/sink_outlets.hpp"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"

namespace usher::gateway {
namespace {

namespace collector = opentelemetry::proto::collector::logs::v1;
namespace logs = opentelemetry::proto::logs::v1;
namespace common = opentelemetry::proto::common::v1;
using audit::sinks::Settings;
using base::Errc;
using base::Result;

constexpr std::chrono::seconds call_limit{20};
/// Receivers take 4 MiB in one message, unless they are told otherwise.
constexpr std::size_t request_bytes_max = 3u << 20;
constexpr std::size_t error_bytes_max = 300;

std::string read_file(const std::string& path) {
    if (path.empty()) return {};
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

void add(google::protobuf::RepeatedPtrField<common::KeyValue>& to, const char* key, const std::string& value) {
    auto& entry = *to.Add();
    entry.set_key(key);
    entry.mutable_value()->set_string_value(value);
}

logs::SeverityNumber number_of(audit::sinks::Severity severity) {
    switch (severity) {
        case audit::sinks::Severity::error:
            return logs::SEVERITY_NUMBER_ERROR;
        case audit::sinks::Severity::warning:
            return logs::SEVERITY_NUMBER_WARN;
        case audit::sinks::Severity::notice:
            return logs::SEVERITY_NUMBER_INFO2;
        case audit::sinks::Severity::informational:
            break;
    }
    return logs::SEVERITY_NUMBER_INFO;
}

logs::LogRecord to_record(const usher::v1::AuditEvent& event) {
    logs::LogRecord out;
    const auto& at = event.recorded_at();
    const auto nanos =
        static_cast<std::uint64_t>(at.seconds()) * 1'000'000'000 + static_cast<std::uint64_t>(at.nanos());
    out.set_time_unix_nano(nanos);
    out.set_observed_time_unix_nano(nanos);
    const auto severity = audit::sinks::severity_of(event);
    out.set_severity_number(number_of(severity));
    out.set_severity_text(audit::sinks::to_word(severity));
    out.set_event_name(std::string("usher.") + audit::sinks::kind_of(event));
    out.mutable_body()->set_string_value(audit::ocsf::to_ocsf(event));
    add(*out.mutable_attributes(), "log.record.uid", event.gateway_id() + ":" + std::to_string(event.sequence()));
    auto& sequence = *out.add_attributes();
    sequence.set_key("usher.sequence");
    sequence.mutable_value()->set_int_value(static_cast<std::int64_t>(event.sequence()));
    return out;
}

class OtlpOutlet final : public audit::sinks::Outlet {
public:
    OtlpOutlet(Settings settings, std::string host) : settings_(std::move(settings)), host_(std::move(host)) {}

    Result<void> deliver(std::span<const usher::v1::AuditEvent> events) override {
        if (!stub_) connect();
        std::size_t size = 0;
        collector::ExportLogsServiceRequest request;
        logs::ScopeLogs* scope = nullptr;
        for (const auto& event : events) {
            auto record = to_record(event);
            const std::size_t more = record.ByteSizeLong() + 16;
            if (scope != nullptr && size + more > request_bytes_max) {
                if (auto sent = send(request); !sent) return sent;
                scope = nullptr;
            }
            if (scope == nullptr) {
                request.Clear();
                size = 0;
                scope = begin(request, event.gateway_id());
            }
            size += more;
            *scope->add_log_records() = std::move(record);
        }
        return scope == nullptr ? Result<void>() : send(request);
    }

    void stop() noexcept override {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        if (call_ != nullptr) call_->TryCancel();
    }

private:
    /// Reads the files anew, so that they may be renewed.
    void connect() {
        grpc::SslCredentialsOptions tls;
        tls.pem_root_certs = read_file(settings_.ca);
        tls.pem_cert_chain = read_file(settings_.certificate);
        tls.pem_private_key = read_file(settings_.private_key);
        grpc::ChannelArguments arguments;
        // The name that the certificate must be for. gRPC verifies it as it does the address's own.
        if (!settings_.server_name.empty()) arguments.SetSslTargetNameOverride(settings_.server_name);
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        stub_ = collector::LogsService::NewStub(
            grpc::CreateCustomChannel(settings_.address(), grpc::SslCredentials(tls), arguments));
    }

    logs::ScopeLogs* begin(collector::ExportLogsServiceRequest& request, const std::string& gateway) const {
        auto& resource = *request.add_resource_logs();
        auto& attributes = *resource.mutable_resource()->mutable_attributes();
        add(attributes, "service.name", "usherd");
        add(attributes, "service.version", USHER_VERSION);
        add(attributes, "service.instance.id", gateway);
        if (!host_.empty() && base::is_utf8(host_)) add(attributes, "host.name", host_);
        auto& scope = *resource.add_scope_logs();
        scope.mutable_scope()->set_name("usher.audit");
        scope.mutable_scope()->set_version(USHER_VERSION);
        return &scope;
    }

    Result<void> send(const collector::ExportLogsServiceRequest& request) {
        grpc::ClientContext call;
        call.set_deadline(std::chrono::system_clock::now() + call_limit);
        {
            std::lock_guard lock(mutex_);
            if (stopping_) return {Errc::unavailable, "the gateway is stopping"};
            call_ = &call;
        }
        collector::ExportLogsServiceResponse response;
        const auto status = stub_->Export(&call, request, &response);
        {
            std::lock_guard lock(mutex_);
            call_ = nullptr;
        }
        const auto shown = [](const std::string& text) { return base::escape_for_terminal(text, error_bytes_max); };
        if (status.ok()) {
            const auto& partial = response.partial_success();
            if (partial.rejected_log_records() <= 0) return {};
            return {Errc::invalid_argument, "the collector rejects " + std::to_string(partial.rejected_log_records()) +
                                                " records: " + shown(partial.error_message())};
        }
        if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
            return {Errc::invalid_argument, "the collector refuses: " + shown(status.error_message())};
        stub_.reset();
        return {Errc::unavailable, "the collector at " + settings_.address() + " answers " +
                                       std::to_string(static_cast<int>(status.error_code())) + ": " +
                                       shown(status.error_message())};
    }

    const Settings settings_;
    const std::string host_;
    std::unique_ptr<collector::LogsService::Stub> stub_;
    std::mutex mutex_;  ///< of what follows
    grpc::ClientContext* call_ = nullptr;
    bool stopping_ = false;
};

}  // namespace

Result<std::unique_ptr<audit::sinks::Outlet>> make_otlp_outlet(Settings settings, std::string host) {
    // The files are read by gRPC, which says little of what is wrong with them.
    if (auto context = audit::sinks::make_client_context(settings); !context) return std::move(context).error();
    return std::unique_ptr<audit::sinks::Outlet>(std::make_unique<OtlpOutlet>(std::move(settings), std::move(host)));
}

}  // namespace usher::gateway
