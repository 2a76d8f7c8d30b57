#pragma once
#include <cstddef>
#include <span>
#include <string>

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "usher/v1/audit.pb.h"

namespace usher::gateway::otlp {

using Request = opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;

/// An event as a log record of OpenTelemetry (docs/sinks.md has the mapping, decision 35 the reasons): its body is the
/// event as OCSF JSON, and what one chooses or counts by is an attribute as well, under its semantic convention's name
/// where there is one. Texts among the attributes take at most 256 bytes each. Pure.
opentelemetry::proto::logs::v1::LogRecord to_log_record(const usher::v1::AuditEvent& event);

/// Puts as many of the first of `events` into `request`, which is cleared before, as fit into `bytes_max`, and one at
/// least. All of them are of one gateway; `host` is what the machine calls itself. Returns how many those are. Pure.
std::size_t fill(Request& request, std::span<const usher::v1::AuditEvent> events, const std::string& host,
                 std::size_t bytes_max);

}  // namespace usher::gateway::otlp
