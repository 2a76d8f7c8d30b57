#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "audit/sinks/outlet.hpp"
#include "audit/sinks/settings.hpp"

namespace usher::gateway {

/// How long the receiver of an OTLP sink may take; tests have less time.
struct OtlpLimits {
    std::chrono::milliseconds call{20'000};   ///< to answer one request
    std::chrono::milliseconds batch{60'000};  ///< to take all of a batch
};

/// To an OTLP receiver over gRPC and TLS (opentelemetry.proto.collector.logs.v1.LogsService), decision 35. A request's
/// answer is its confirmation. INVALID_ARGUMENT, and an answer that rejects some of the records, are invalid_argument:
/// the batch is then halved until the one is found. `host` is what the machine calls itself. invalid_argument where the
/// sink's files cannot be used. From the first one on, gRPC's own messages are lines of our log, of level debug.
base::Result<std::unique_ptr<audit::sinks::Outlet>> make_otlp_outlet(audit::sinks::Settings settings, std::string host,
                                                                     OtlpLimits limits = {});

}  // namespace usher::gateway
