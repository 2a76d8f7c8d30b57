#pragma once
#include <string>
#include <string_view>

#include "usher/v1/audit.pb.h"

namespace usher::audit::sinks {

/// What a header field may hold (RFC 5424 §6.2: PRINTUSASCII): every other byte becomes "_", what is longer is cut, and
/// nothing becomes "-". Pure.
std::string header_field(std::string_view text, std::size_t bytes_max);

/// An event as one message of RFC 5424, its text the event as OCSF in ASCII JSON, framed by its length in octets
/// (RFC 5425 §4.3). `host` is what the machine calls itself. The facility is 13, log audit. Pure.
///
///     LENGTH <110>1 2026-11-29T07:00:00.123456Z gw1 usherd - access [meta sequenceId="7"][origin ...]
///     {"class_uid":...}
std::string syslog_frame(const usher::v1::AuditEvent& event, std::string_view host);

}  // namespace usher::audit::sinks
