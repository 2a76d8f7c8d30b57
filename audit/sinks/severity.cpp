#include "audit/sinks/severity.hpp"

namespace usher::audit::sinks {

namespace v1 = usher::v1;

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

const char* to_word(Severity severity) noexcept {
    switch (severity) {
        case Severity::error:
            return "error";
        case Severity::warning:
            return "warning";
        case Severity::notice:
            return "notice";
        case Severity::informational:
            break;
    }
    return "informational";
}

const char* kind_of(const v1::AuditEvent& event) noexcept {
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

}  // namespace usher::audit::sinks
