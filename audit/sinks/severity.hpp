#pragma once
#include "usher/v1/audit.pb.h"

namespace usher::audit::sinks {

/// How much an event wants to be looked at; the numbers are syslog's (RFC 5424 §6.2.1).
enum class Severity {
    error = 3,          // the journal is damaged
    warning = 4,        // a crash was recovered from
    notice = 5,         // something was denied, or failed
    informational = 6,  // everything else
};

/// Pure.
Severity severity_of(const usher::v1::AuditEvent& event);
/// "error", "warning" ...
const char* to_word(Severity severity) noexcept;
/// "access", "session", "admin" or "system".
const char* kind_of(const usher::v1::AuditEvent& event) noexcept;

}  // namespace usher::audit::sinks
