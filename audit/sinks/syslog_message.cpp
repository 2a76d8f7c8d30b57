#include "audit/sinks/syslog_message.hpp"

#include "audit/ocsf/ocsf.hpp"
#include "base/text.hpp"

namespace usher::audit::sinks {
namespace {

namespace v1 = usher::v1;

constexpr int facility_audit = 13;
enum class Severity { error = 3, warning = 4, notice = 5, informational = 6 };
constexpr std::size_t host_bytes_max = 255;
/// RFC 5424 §7.3.1: numbers from 1 on, and behind this one 1 again.
constexpr std::uint64_t sequence_id_max = 2'147'483'647;

Severity severity_of(const v1::AuditEvent& event) {
    switch (event.record_case()) {
        case v1::AuditEvent::kAccess:
            return event.access().verdict() == v1::Verdict::ALLOWED ? Severity::informational : Severity::notice;
        case v1::AuditEvent::kSession:
            return event.session().event() == v1::SessionRecord::Event::SIGN_IN_FAILED ||
                           event.session().event() == v1::SessionRecord::Event::SECOND_FACTOR_FAILED
                       ? Severity::notice
                       : Severity::informational;
        case v1::AuditEvent::kAdmin:
            return event.admin().outcome() == v1::AdminRecord::Outcome::DONE ? Severity::informational
                                                                             : Severity::notice;
        default:
            break;
    }
    if (event.system().event() == v1::SystemRecord::Event::CORRUPTION) return Severity::error;
    return event.system().event() == v1::SystemRecord::Event::RECOVERED ? Severity::warning : Severity::informational;
}

const char* kind_of(const v1::AuditEvent& event) {
    switch (event.record_case()) {
        case v1::AuditEvent::kAccess:
            return "access";
        case v1::AuditEvent::kSession:
            return "session";
        case v1::AuditEvent::kAdmin:
            return "admin";
        default:
            return "system";
    }
}

}  // namespace

std::string header_field(std::string_view text, std::size_t bytes_max) {
    if (text.empty()) return "-";
    std::string out(text.substr(0, bytes_max));
    for (char& c : out)
        if (c < 33 || c > 126) c = '_';
    return out;
}

std::string syslog_frame(const v1::AuditEvent& event, std::string_view host) {
    const auto& at = event.recorded_at();
    const auto time = base::from_micros(at.seconds() * 1'000'000 + at.nanos() / 1000);
    const std::uint64_t sequence_id = event.sequence() == 0 ? 1 : (event.sequence() - 1) % sequence_id_max + 1;
    std::string message = "<" + std::to_string(facility_audit * 8 + static_cast<int>(severity_of(event))) + ">1 " +
                          base::format_rfc3339(time) + " " + header_field(host, host_bytes_max) + " usherd - " +
                          kind_of(event) + " [meta sequenceId=\"" + std::to_string(sequence_id) +
                          "\"][origin software=\"usherd\" swVersion=\"" USHER_VERSION "\"] " +
                          ocsf::to_ocsf(event, ocsf::Charset::ascii);
    return std::to_string(message.size()) + " " + message;
}

}  // namespace usher::audit::sinks
