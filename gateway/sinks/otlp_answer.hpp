#pragma once
#include <grpcpp/support/status.h>

#include <string>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"

namespace usher::gateway::otlp {

/// What a receiver's answer to one request means.
struct Answer {
    /// invalid_argument: it will never take one of these records. Any other error may pass: an answer that does not
    /// blame the records (no permission, not implemented, an error inside of the receiver) parks none of them.
    base::Result<void> outcome;
    bool too_much = false;        ///< it may take a smaller request
    bool connection_bad = false;  ///< try again with another connection
    base::Microseconds pause{0};  ///< how long it asks to be left alone, at most pause_max
};

constexpr base::Microseconds pause_max{300'000'000};

/// Pure. `address` is for the text of errors. What the receiver says comes with it, escaped and at most 300 bytes.
Answer judge(const grpc::Status& status,
             const opentelemetry::proto::collector::logs::v1::ExportLogsServiceResponse& response,
             const std::string& address);

}  // namespace usher::gateway::otlp
