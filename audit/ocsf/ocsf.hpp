#pragma once
#include <string>

#include "audit/ocsf/json_writer.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::audit::ocsf {

/// The version of the Open Cybersecurity Schema Framework that is written (schema.ocsf.io/1.3.0).
inline constexpr const char* schema_version = "1.3.0";

/// No event takes more than this, so that it fits with its header into what a syslog receiver must take (RFC 5425
/// §4.3.1 asks for 8,192 octets).
inline constexpr std::size_t event_bytes_max = 7'800;

/// An event as one line of OCSF JSON, without a newline (docs/ocsf.md has the mapping). Each text has a bound of its
/// own; where one was cut, `unmapped.cut` says so. Pure.
///
///   access                                   4001 Network Activity
///   session: signed in, out, second factor   3002 Authentication
///   session: password, factor, device        3001 Account Change
///   admin                                    6003 API Activity
///   system: started, stopped, recovered      6002 Application Lifecycle
///   system: everything else                     0 Base Event
std::string to_ocsf(const usher::v1::AuditEvent& event, Charset charset = Charset::utf8);

/// An access as a row of the store tells it: its latest event, of which it is not known when it was recorded.
std::string to_ocsf(const usher::v1::AccessRecord& access);

}  // namespace usher::audit::ocsf
