#include "gateway/sinks/otlp_request.hpp"

#include <algorithm>
#include <string_view>

#include "audit/ocsf/ocsf.hpp"
#include "audit/sinks/severity.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace usher::gateway::otlp {
namespace {

namespace common = opentelemetry::proto::common::v1;
namespace logs = opentelemetry::proto::logs::v1;
namespace v1 = usher::v1;
using Attributes = google::protobuf::RepeatedPtrField<common::KeyValue>;

constexpr std::size_t text_bytes_max = 256;
/// What a record takes besides itself: its field's number, and its length of at most four bytes.
constexpr std::size_t record_frame_bytes = 5;

std::string_view cut(std::string_view text) {
    if (text.size() <= text_bytes_max) return text;
    std::size_t end = 0;
    while (const auto length = std::max<std::size_t>(1, base::decode_utf8(text, end).length)) {
        if (end + length > text_bytes_max) break;
        end += length;
    }
    return text.substr(0, end);
}

void add(Attributes& to, const char* key, std::string_view value) {
    if (value.empty()) return;
    auto& entry = *to.Add();
    entry.set_key(key);
    entry.mutable_value()->set_string_value(std::string(cut(value)));
}

void add_number(Attributes& to, const char* key, std::uint64_t value) {
    auto& entry = *to.Add();
    entry.set_key(key);
    entry.mutable_value()->set_int_value(static_cast<std::int64_t>(value));
}

void add_actor(Attributes& to, const std::string& name, const std::string& account, const std::string& session) {
    add(to, "user.name", name);
    add(to, "user.id", account);
    add(to, "session.id", session);
}

logs::SeverityNumber number_of(audit::sinks::Severity severity) {
    switch (severity) {
        case audit::sinks::Severity::error:
            return logs::SEVERITY_NUMBER_ERROR;
        case audit::sinks::Severity::warning:
            return logs::SEVERITY_NUMBER_WARN;
        case audit::sinks::Severity::notice:
            return logs::SEVERITY_NUMBER_INFO2;
        case audit::sinks::Severity::informational:
            break;
    }
    return logs::SEVERITY_NUMBER_INFO;
}

/// A time before 1970 is none for OpenTelemetry: 0, "unknown".
std::uint64_t to_nanos(const google::protobuf::Timestamp& time) {
    if (time.seconds() < 0) return 0;
    return static_cast<std::uint64_t>(time.seconds()) * 1'000'000'000 + static_cast<std::uint64_t>(time.nanos());
}

/// When it was so, which may be before the gateway recorded it: a crash is recovered from later.
std::uint64_t event_nanos(const v1::AuditEvent& event) {
    const auto& access = event.access();
    if (access.has_last_at()) return to_nanos(access.last_at());
    if (access.event() == v1::AccessEventType::CLOSED && access.has_closed_at()) return to_nanos(access.closed_at());
    const bool began = access.event() == v1::AccessEventType::OPENED || access.event() == v1::AccessEventType::DENIED;
    if (began && access.has_opened_at()) return to_nanos(access.opened_at());
    return to_nanos(event.recorded_at());
}

void describe(Attributes& to, const v1::AccessRecord& access) {
    add_actor(to, access.username(), access.account_id(), access.session_id());
    add(to, "device.id", access.enrolled_device_id());
    add(to, "client.address", access.client_ip());
    if (access.client_port() != 0) add_number(to, "client.port", access.client_port());
    add(to, "destination.address", access.destination_host());
    if (access.destination_port() != 0) add_number(to, "destination.port", access.destination_port());
    add(to, "usher.access.id", access.access_id());
    add(to, "usher.app", access.app());
    add(to, "usher.policy", access.policy());
    add(to, "usher.verdict", v1::Verdict::Value_Name(access.verdict()));
    if (!access.reasons().empty()) add(to, "usher.reason", access.reasons(0));
    if (access.count() > 1) add_number(to, "usher.count", access.count());
    if (access.event() == v1::AccessEventType::OPENED || access.event() == v1::AccessEventType::DENIED) return;
    add_number(to, "usher.bytes_up", access.bytes_up());
    add_number(to, "usher.bytes_down", access.bytes_down());
    add_number(to, "usher.duration_us", static_cast<std::uint64_t>(std::max<std::int64_t>(0, access.duration_us())));
    if (access.close_reason() != v1::CloseReason::UNSPECIFIED)
        add(to, "usher.close_reason", v1::CloseReason::Value_Name(access.close_reason()));
}

void describe(Attributes& to, const v1::SessionRecord& session) {
    add_actor(to, session.username(), session.account_id(), session.session_id());
    add(to, "device.id", session.enrolled_device_id());
    add(to, "client.address", session.client_ip());
    add(to, "usher.reason", session.reason());
    add(to, "usher.second_factor", session.second_factor());
    if (session.count() > 1) add_number(to, "usher.count", session.count());
}

void describe(Attributes& to, const v1::AdminRecord& admin) {
    add_actor(to, admin.actor(), admin.actor_account_id(), admin.actor_session_id());
    add(to, "client.address", admin.client_ip());
    add(to, "usher.action", admin.action());
    add(to, "usher.resource", admin.resource());
    add(to, "usher.outcome", v1::AdminRecord::Outcome::Value_Name(admin.outcome()));
}

/// What happened, in one word: "opened", "sign_in_failed", "started"; of an administrative act its outcome.
std::string word_of(const v1::AuditEvent& event) {
    switch (event.record_case()) {
        case v1::AuditEvent::kAccess:
            return base::to_lower(v1::AccessEventType::Value_Name(event.access().event()));
        case v1::AuditEvent::kSession:
            return base::to_lower(v1::SessionRecord::Event::Value_Name(event.session().event()));
        case v1::AuditEvent::kAdmin:
            return base::to_lower(v1::AdminRecord::Outcome::Value_Name(event.admin().outcome()));
        default:
            return base::to_lower(v1::SystemRecord::Event::Value_Name(event.system().event()));
    }
}

logs::ScopeLogs& begin(Request& request, const std::string& gateway, const std::string& host) {
    auto& resource = *request.add_resource_logs();
    auto& attributes = *resource.mutable_resource()->mutable_attributes();
    add(attributes, "service.name", "usherd");
    add(attributes, "service.version", USHER_VERSION);
    add(attributes, "service.instance.id", gateway);
    if (base::is_utf8(host)) add(attributes, "host.name", host);
    auto& scope = *resource.add_scope_logs();
    scope.mutable_scope()->set_name("usher.audit");
    scope.mutable_scope()->set_version(USHER_VERSION);
    return scope;
}

}  // namespace

logs::LogRecord to_log_record(const v1::AuditEvent& event) {
    logs::LogRecord out;
    out.set_time_unix_nano(event_nanos(event));
    out.set_observed_time_unix_nano(to_nanos(event.recorded_at()));
    const auto severity = audit::sinks::severity_of(event);
    out.set_severity_number(number_of(severity));
    out.set_severity_text(audit::sinks::to_word(severity));
    out.set_event_name(std::string("usher.") + audit::sinks::kind_of(event) + "." + word_of(event));
    out.mutable_body()->set_string_value(audit::ocsf::to_ocsf(event));
    auto& attributes = *out.mutable_attributes();
    add(attributes, "log.record.uid", event.gateway_id() + ":" + std::to_string(event.sequence()));
    add_number(attributes, "usher.sequence", event.sequence());
    if (event.has_access()) describe(attributes, event.access());
    if (event.has_session()) describe(attributes, event.session());
    if (event.has_admin()) describe(attributes, event.admin());
    return out;
}

std::size_t fill(Request& request, std::span<const v1::AuditEvent> events, const std::string& host,
                 std::size_t bytes_max) {
    request.Clear();
    if (events.empty()) return 0;
    auto& scope = begin(request, events.front().gateway_id(), host);
    // The frames around the list of records, whose lengths grow with it.
    std::size_t size = request.ByteSizeLong() + 16;
    for (std::size_t i = 0; i < events.size(); ++i) {
        auto record = to_log_record(events[i]);
        size += record.ByteSizeLong() + record_frame_bytes;
        if (i > 0 && size > bytes_max) return i;
        *scope.add_log_records() = std::move(record);
    }
    return events.size();
}

}  // namespace usher::gateway::otlp
