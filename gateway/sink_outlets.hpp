#pragma once
#include <memory>

#include "audit/sinks/outlet.hpp"
#include "audit/sinks/settings.hpp"

namespace usher::gateway {

/// What speaks to a sink's receiver, by its kind. invalid_argument where the sink's files cannot be used.
base::Result<std::unique_ptr<audit::sinks::Outlet>> make_sink_outlet(const audit::sinks::Settings& settings);

/// To an OTLP collector over gRPC (opentelemetry.proto.collector.logs.v1.LogsService), each event a log record whose
/// body is the event as OCSF. Its answer is the confirmation. INVALID_ARGUMENT, and an answer that rejects some of the
/// records, are invalid_argument: the batch is halved until the one is found. `host` is what the machine calls itself.
base::Result<std::unique_ptr<audit::sinks::Outlet>> make_otlp_outlet(audit::sinks::Settings settings, std::string host);

}  // namespace usher::gateway
