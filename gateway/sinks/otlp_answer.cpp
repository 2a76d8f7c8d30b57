#include "gateway/sinks/otlp_answer.hpp"

#include <algorithm>
#include <string_view>

#include "base/text.hpp"
#include "usher/otlp/status.pb.h"

namespace usher::gateway::otlp {
namespace {

using base::Errc;
using grpc::StatusCode;

constexpr std::size_t error_bytes_max = 300;
constexpr std::size_t details_bytes_max = 8 * 1024;
constexpr std::string_view retry_info_type = "/google.rpc.RetryInfo";

const char* name_of(StatusCode code) {
    switch (code) {
        case StatusCode::OK:
            return "OK";
        case StatusCode::CANCELLED:
            return "CANCELLED";
        case StatusCode::INVALID_ARGUMENT:
            return "INVALID_ARGUMENT";
        case StatusCode::DEADLINE_EXCEEDED:
            return "DEADLINE_EXCEEDED";
        case StatusCode::NOT_FOUND:
            return "NOT_FOUND";
        case StatusCode::ALREADY_EXISTS:
            return "ALREADY_EXISTS";
        case StatusCode::PERMISSION_DENIED:
            return "PERMISSION_DENIED";
        case StatusCode::UNAUTHENTICATED:
            return "UNAUTHENTICATED";
        case StatusCode::RESOURCE_EXHAUSTED:
            return "RESOURCE_EXHAUSTED";
        case StatusCode::FAILED_PRECONDITION:
            return "FAILED_PRECONDITION";
        case StatusCode::ABORTED:
            return "ABORTED";
        case StatusCode::OUT_OF_RANGE:
            return "OUT_OF_RANGE";
        case StatusCode::UNIMPLEMENTED:
            return "UNIMPLEMENTED";
        case StatusCode::INTERNAL:
            return "INTERNAL";
        case StatusCode::UNAVAILABLE:
            return "UNAVAILABLE";
        case StatusCode::DATA_LOSS:
            return "DATA_LOSS";
        default:
            return "UNKNOWN";
    }
}

/// google.rpc.RetryInfo among the status's details; 0 where there is none that can be read.
base::Microseconds pause_of(const grpc::Status& status) {
    const std::string details = status.error_details();
    usher::otlp::Status parsed;
    if (details.empty() || details.size() > details_bytes_max || !parsed.ParseFromString(details)) return {};
    for (const auto& detail : parsed.details()) {
        usher::otlp::RetryInfo info;
        if (!std::string_view(detail.type_url()).ends_with(retry_info_type) || !info.ParseFromString(detail.value()))
            continue;
        const auto seconds = std::clamp<std::int64_t>(info.retry_delay().seconds(), 0, pause_max.count() / 1'000'000);
        const auto nanos = std::clamp(info.retry_delay().nanos(), 0, 999'999'999);
        return std::min(pause_max, base::Microseconds{seconds * 1'000'000 + nanos / 1000});
    }
    return {};
}

}  // namespace

Answer judge(const grpc::Status& status,
             const opentelemetry::proto::collector::logs::v1::ExportLogsServiceResponse& response,
             const std::string& address) {
    const auto shown = [](const std::string& text) { return base::escape_for_terminal(text, error_bytes_max); };
    Answer answer;
    if (status.ok()) {
        const auto& partial = response.partial_success();
        if (partial.rejected_log_records() > 0)
            answer.outcome = {Errc::invalid_argument, "the receiver rejects " +
                                                          std::to_string(partial.rejected_log_records()) +
                                                          " records: " + shown(partial.error_message())};
        return answer;
    }
    if (status.error_code() == StatusCode::INVALID_ARGUMENT) {
        answer.outcome = {Errc::invalid_argument, "the receiver refuses: " + shown(status.error_message())};
        return answer;
    }
    answer.pause = pause_of(status);
    // gRPC's own word for a request that is over the receiver's bound. With a pause it is one of load.
    answer.too_much = status.error_code() == StatusCode::RESOURCE_EXHAUSTED && answer.pause.count() == 0;
    answer.connection_bad = status.error_code() != StatusCode::RESOURCE_EXHAUSTED;
    answer.outcome = {Errc::unavailable,
                      status.error_code() == StatusCode::DEADLINE_EXCEEDED
                          ? "no answer from " + address + " in time"
                          : address + ": " + name_of(status.error_code()) + ": " + shown(status.error_message())};
    return answer;
}

}  // namespace usher::gateway::otlp
