#include "audit/ocsf/ocsf.hpp"

#include <algorithm>

#include "audit/ocsf/json_writer.hpp"
#include "base/net.hpp"

namespace usher::audit::ocsf {
namespace {

namespace v1 = usher::v1;
using google::protobuf::Timestamp;

constexpr std::size_t id_bytes = 64, reason_bytes = 512, state_bytes = 1'024;

// The numbers of the schema.
enum class Class {
    base = 0,
    account_change = 3001,
    authentication = 3002,
    network_activity = 4001,
    application_lifecycle = 6002,
    api_activity = 6003
};
enum class Severity { informational = 1, low = 2, medium = 3, high = 4 };
enum class Status { success = 1, failure = 2, other = 99 };
constexpr int activity_other = 99;

struct Activity {
    int id = activity_other;
    std::string name;
};

std::string class_name(Class c) {
    switch (c) {
        case Class::account_change:
            return "Account Change";
        case Class::authentication:
            return "Authentication";
        case Class::network_activity:
            return "Network Activity";
        case Class::application_lifecycle:
            return "Application Lifecycle";
        case Class::api_activity:
            return "API Activity";
        case Class::base:
            break;
    }
    return "Base Event";
}

/// The thousands are the category: 3 identity, 4 network, 6 application; the base event is in none.
int category_of(Class c) { return static_cast<int>(c) / 1000; }

std::int64_t to_ms(const Timestamp& t) { return t.seconds() * 1000 + t.nanos() / 1'000'000; }

/// What every event has, whatever its class.
struct Frame {
    Class of = Class::base;
    Activity activity;
    std::int64_t time_ms = 0;
    Severity severity = Severity::informational;
    std::optional<Status> status;
    std::string event_code;
    std::string correlation;
    std::vector<const char*> profiles;
};

void write_frame(JsonWriter& json, const v1::AuditEvent& event, const Frame& frame) {
    const int class_uid = static_cast<int>(frame.of);
    json.number("class_uid", class_uid);
    json.text("class_name", class_name(frame.of));
    json.number("category_uid", category_of(frame.of));
    json.number("activity_id", frame.activity.id);
    json.text("activity_name", frame.activity.name);
    json.number("type_uid", static_cast<std::int64_t>(class_uid) * 100 + frame.activity.id);
    json.number("time", frame.time_ms);
    json.number("severity_id", static_cast<int>(frame.severity));
    if (frame.status) json.number("status_id", static_cast<int>(*frame.status));
    json.begin("metadata");
    json.text("version", schema_version);
    json.begin("product");
    json.text("name", "Usher");
    json.text("vendor_name", "Usher");
    json.text("version", USHER_VERSION);
    json.end();
    if (!frame.profiles.empty()) {
        json.begin_array("profiles");
        for (const auto* profile : frame.profiles) json.text_element(profile);
        json.end_array();
    }
    json.text("uid", event.gateway_id() + ":" + std::to_string(event.sequence()), 2 * id_bytes);
    json.number("sequence", event.sequence());
    json.text("correlation_uid", frame.correlation, id_bytes);
    json.text("event_code", frame.event_code, id_bytes);
    json.text("log_provider", event.gateway_id(), id_bytes);
    if (event.has_recorded_at()) json.number("logged_time", to_ms(event.recorded_at()));
    json.end();
}

/// A user must have a name or an id.
void write_user(JsonWriter& json, const std::string& name, const std::string& id) {
    json.begin("user");
    json.text("name", name.empty() && id.empty() ? "unknown" : name);
    json.text("uid", id, id_bytes);
    json.end();
}

void write_session(JsonWriter& json, const std::string& id) {
    if (id.empty()) return;
    json.begin("session");
    json.text("uid", id, id_bytes);
    json.end();
}

/// Where somebody comes from: the address, and of the device what it is called, what it runs and which enrolled one it
/// is.
void write_source(JsonWriter& json, const std::string& ip, std::uint32_t port, const v1::Device& device,
                  const std::string& enrolled_id, const std::string& enrolled_name) {
    const std::string name = enrolled_name.empty() ? device.name() : enrolled_name;
    json.begin("src_endpoint");
    json.text("ip", ip, id_bytes);
    if (port != 0) json.number("port", static_cast<std::int64_t>(port));
    // An endpoint must have something that it is known by.
    json.text("name", name.empty() && ip.empty() && enrolled_id.empty() ? "unknown" : name);
    json.text("uid", enrolled_id, id_bytes);
    if (!device.os().empty()) {
        json.begin("os");
        json.text("name", device.os());
        json.number("type_id", 0);
        json.end();
    }
    json.end();
}

/// What a device claims of itself, for which the schema has no place.
void write_claims(JsonWriter& json, const v1::Device& d) {
    if (d.device_id().empty() && d.brand().empty() && d.model().empty() && d.language().empty() &&
        d.network_type().empty() && d.screen().empty() && !d.has_battery_percent() && !d.has_brightness_percent() &&
        !d.has_storage_free_bytes() && !d.has_storage_bytes() && d.os_id().empty() && d.os_version().empty() &&
        d.agent_version().empty() && d.uid().empty() && d.time_zone().empty() && d.disk_encrypted().empty() &&
        d.firewall().empty() && d.screen_lock().empty())
        return;
    json.begin("device");
    json.text("device_id", d.device_id());
    json.text("brand", d.brand());
    json.text("model", d.model());
    json.text("language", d.language(), id_bytes);
    json.text("network_type", d.network_type(), id_bytes);
    json.text("screen", d.screen(), id_bytes);
    if (d.has_battery_percent()) json.number("battery_percent", static_cast<std::int64_t>(d.battery_percent()));
    if (d.has_brightness_percent())
        json.number("brightness_percent", static_cast<std::int64_t>(d.brightness_percent()));
    if (d.has_storage_bytes()) json.number("storage_bytes", d.storage_bytes());
    if (d.has_storage_free_bytes()) json.number("storage_free_bytes", d.storage_free_bytes());
    json.text("os_id", d.os_id(), id_bytes);
    json.text("os_version", d.os_version(), id_bytes);
    json.text("agent_version", d.agent_version(), id_bytes);
    json.text("uid", d.uid(), id_bytes);
    json.text("time_zone", d.time_zone(), id_bytes);
    json.text("disk_encrypted", d.disk_encrypted(), id_bytes);
    json.text("firewall", d.firewall(), id_bytes);
    json.text("screen_lock", d.screen_lock(), id_bytes);
    json.end();
}

void write_count(JsonWriter& json, std::uint64_t count) {
    if (count > 1) json.number("count", count);
}

/// Texts that were cut are told last, when it is known.
std::string finish(JsonWriter&& json) {
    const bool cut = json.cut();
    if (cut) json.boolean("cut", true);
    json.end();
    return std::move(json).finish();
}

std::string joined(const google::protobuf::RepeatedPtrField<std::string>& reasons) {
    std::string all;
    for (const auto& reason : reasons) {
        if (all.size() > reason_bytes) break;
        all += (all.empty() ? "" : "; ") + reason;
    }
    return all;
}

// -- accesses

Activity activity_of(const v1::AccessRecord& access) {
    using Event = v1::AccessEventType;
    if (access.event() == Event::OPENED) return {1, "Open"};
    if (access.event() == Event::PROGRESS) return {6, "Traffic"};
    if (access.verdict() == v1::Verdict::DENIED) return {5, "Refuse"};
    if (access.verdict() == v1::Verdict::FAILED || access.event() == Event::DENIED) return {4, "Fail"};
    if (access.event() != Event::CLOSED) return {activity_other, "Other"};
    const bool as_wanted =
        access.close_reason() == v1::CloseReason::CLIENT_CLOSED || access.close_reason() == v1::CloseReason::APP_CLOSED;
    // A reset is also what a middle device does to a connection.
    return as_wanted ? Activity{2, "Close"} : Activity{3, "Reset"};
}

/// The security control's words for what became of it: 1 Allowed, 2 Blocked, 24 Access Revoked, 27 Error.
int disposition_of(const v1::AccessRecord& access) {
    using Reason = v1::CloseReason;
    if (access.verdict() == v1::Verdict::DENIED) return 2;
    if (access.verdict() == v1::Verdict::FAILED) return 27;
    if (access.has_revoked_at() || access.close_reason() == Reason::REVOKED ||
        access.close_reason() == Reason::POLICY_CHANGED)
        return 24;
    return 1;
}

/// When what this event says was so.
std::int64_t time_of(const v1::AccessRecord& access) {
    if (access.has_last_at()) return to_ms(access.last_at());
    if (access.event() == v1::AccessEventType::CLOSED && access.has_closed_at()) return to_ms(access.closed_at());
    return to_ms(access.opened_at()) +
           (access.event() == v1::AccessEventType::PROGRESS ? access.duration_us() / 1000 : 0);
}

void write_destination(JsonWriter& json, const v1::AccessRecord& access) {
    const bool named = !access.destination_host().empty() && !base::IpAddress::parse(access.destination_host());
    const std::string ip =
        access.destination_ip().empty() && !named ? access.destination_host() : access.destination_ip();
    json.begin("dst_endpoint");
    if (named) json.text("hostname", access.destination_host());
    json.text("ip", ip, id_bytes);
    if (!named && ip.empty()) json.text("name", "unknown");
    if (access.destination_port() != 0) json.number("port", static_cast<std::int64_t>(access.destination_port()));
    json.text("svc_name", access.app());
    json.end();
}

std::string write_access(const v1::AuditEvent& event, Charset charset) {
    const auto& access = event.access();
    const bool allowed = access.verdict() == v1::Verdict::ALLOWED;
    const bool udp = access.kind() == v1::AccessKind::UDP;
    JsonWriter json(charset);
    Frame frame{Class::network_activity,
                activity_of(access),
                time_of(access),
                allowed ? Severity::informational : Severity::low,
                allowed ? Status::success : Status::failure,
                v1::AccessEventType::Value_Name(access.event()),
                access.access_id(),
                {"host", "security_control"}};
    write_frame(json, event, frame);
    if (access.close_reason() != v1::CloseReason::UNSPECIFIED)
        json.text("status_code", v1::CloseReason::Value_Name(access.close_reason()), id_bytes);
    json.text("status_detail", joined(access.reasons()), reason_bytes);
    json.number("start_time", to_ms(access.opened_at()));
    if (access.has_closed_at() || access.has_last_at())
        json.number("end_time", to_ms(access.has_last_at() ? access.last_at() : access.closed_at()));
    json.number("duration", access.duration_us() / 1000);
    write_count(json, access.count());
    json.number("action_id", access.verdict() == v1::Verdict::DENIED ? 2 : 1);
    json.number("disposition_id", disposition_of(access));
    if (!access.policy().empty()) {
        json.begin_array("authorizations");
        json.begin_element();
        json.text("decision", v1::Verdict::Value_Name(access.verdict()), id_bytes);
        json.begin("policy");
        json.text("name", access.policy());
        json.text("version", std::to_string(access.policy_version()));
        json.end();
        json.end();
        json.end_array();
    }
    json.begin("actor");
    write_user(json, access.username(), access.account_id());
    write_session(json, access.session_id());
    json.end();
    write_source(json, access.client_ip(), access.client_port(), access.device(), access.enrolled_device_id(),
                 access.enrolled_device_name());
    write_destination(json, access);
    json.text("app_name", access.app());
    json.begin("connection_info");
    json.text("uid", access.access_id(), id_bytes);
    json.number("direction_id", 1);
    json.number("protocol_num", udp ? 17 : 6);
    json.text("protocol_name", udp ? "udp" : "tcp");
    json.end();
    json.begin("traffic");
    json.number("bytes_out", access.bytes_up());
    json.number("bytes_in", access.bytes_down());
    json.number("bytes", access.bytes_up() + access.bytes_down());
    json.end();
    json.begin("unmapped");
    json.text("kind", v1::AccessKind::Value_Name(access.kind()), id_bytes);
    json.text("department", access.department());
    json.text("region", access.region(), id_bytes);
    json.text("retention_class", access.retention_class(), id_bytes);
    json.number("duration_us", access.duration_us());
    if (access.bytes_uncertain()) json.boolean("bytes_uncertain", true);
    if (access.has_revoked_at()) json.number("revoked_at", to_ms(access.revoked_at()));
    if (access.has_bytes_after_revocation()) json.number("bytes_after_revocation", access.bytes_after_revocation());
    write_claims(json, access.device());
    return finish(std::move(json));
}

// -- sessions

struct SessionKind {
    Class of = Class::authentication;
    Activity activity;
    bool succeeded = true;
};

SessionKind kind_of(const v1::SessionRecord& session) {
    using Event = v1::SessionRecord::Event;
    switch (session.event()) {
        case Event::SIGNED_IN:
            return {Class::authentication, {1, "Logon"}, true};
        case Event::SIGN_IN_FAILED:
            return {Class::authentication, {1, "Logon"}, false};
        case Event::SIGNED_OUT:
        case Event::EXPIRED:
            return {Class::authentication, {2, "Logoff"}, true};
        case Event::SECOND_FACTOR_FAILED:
            return {Class::authentication, {activity_other, "Second factor"}, false};
        case Event::PASSWORD_CHANGED:
            return {Class::account_change, {3, "Password Change"}, true};
        case Event::SECOND_FACTOR_ENROLLED:
            return {Class::account_change, {10, "MFA Factor Enable"}, true};
        case Event::DEVICE_ENROLLED:
            return {Class::account_change, {activity_other, "Device enrolled"}, true};
        case Event::DEVICE_RENEWED:
            return {Class::account_change, {activity_other, "Device renewed"}, true};
        case Event::POSTURE_REPORTED:
            return {Class::authentication, {activity_other, "Device posture"}, true};
        default:
            return {Class::authentication, {activity_other, "Second factor"}, true};
    }
}

std::string write_session_event(const v1::AuditEvent& event, Charset charset) {
    const auto& session = event.session();
    const SessionKind kind = kind_of(session);
    JsonWriter json(charset);
    write_frame(json, event,
                {kind.of,
                 kind.activity,
                 to_ms(event.recorded_at()),
                 kind.succeeded ? Severity::informational : Severity::low,
                 kind.succeeded ? Status::success : Status::failure,
                 v1::SessionRecord::Event::Value_Name(session.event()),
                 session.session_id(),
                 {"host"}});
    json.text("status_code", session.reason(), id_bytes);
    write_count(json, session.count());
    write_user(json, session.username(), session.account_id());
    write_source(json, session.client_ip(), 0, session.device(), session.enrolled_device_id(),
                 session.enrolled_device_name());
    if (kind.of == Class::authentication) {
        write_session(json, session.session_id());
        json.begin("service");
        json.text("name", "usher");
        json.end();
        json.boolean("is_remote", true);
        json.boolean("is_mfa", !session.second_factor().empty());
        json.number("logon_type_id", 3);
    }
    json.begin("unmapped");
    json.text("second_factor", session.second_factor(), id_bytes);
    write_claims(json, session.device());
    return finish(std::move(json));
}

// -- administration

Activity activity_of(const std::string& action) {
    const std::string verb = action.substr(action.rfind('.') + 1);
    const auto is = [&](std::initializer_list<std::string_view> verbs) {
        return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
    };
    if (is({"create"})) return {1, "Create"};
    if (is({"get", "list", "show", "status", "tail", "explain", "query", "export"})) return {2, "Read"};
    if (is({"delete", "revoke", "remove"})) return {4, "Delete"};
    if (is({"update", "apply", "set", "enable", "disable", "lock", "unlock", "approve", "reset"})) return {3, "Update"};
    return {activity_other, verb.empty() ? "Other" : verb};
}

std::string write_admin(const v1::AuditEvent& event, Charset charset) {
    const auto& admin = event.admin();
    const bool failed =
        admin.outcome() == v1::AdminRecord::Outcome::FAILED || admin.outcome() == v1::AdminRecord::Outcome::REFUSED;
    // Nothing is done yet where two administrators are needed.
    const bool waits =
        admin.outcome() == v1::AdminRecord::Outcome::ASKED || admin.outcome() == v1::AdminRecord::Outcome::APPROVED;
    const bool local = admin.actor_account_id().empty() && admin.actor() == "local";
    JsonWriter json(charset);
    write_frame(json, event,
                {Class::api_activity,
                 activity_of(admin.action()),
                 to_ms(event.recorded_at()),
                 failed || waits ? Severity::low : Severity::informational,
                 waits    ? Status::other
                 : failed ? Status::failure
                          : Status::success,
                 v1::AdminRecord::Outcome::Value_Name(admin.outcome()),
                 {},
                 {}});
    json.text("status_detail", admin.detail(), reason_bytes);
    json.begin("actor");
    write_user(json, admin.actor(), admin.actor_account_id());
    write_session(json, admin.actor_session_id());
    json.end();
    json.begin("api");
    json.text("operation", admin.action().empty() ? "unknown" : admin.action());
    json.begin("service");
    json.text("name", "usher-control");
    json.end();
    json.end();
    // An act has no address of its own; that of a tunnel to the control API is in the record of that access.
    json.begin("src_endpoint");
    json.text("name", local ? "localhost" : "usher-control");
    json.end();
    if (!admin.resource().empty()) {
        json.begin_array("resources");
        json.begin_element();
        json.text("name", admin.resource(), 2 * id_bytes);
        json.text("type", admin.resource().substr(0, admin.resource().find('/')), id_bytes);
        json.end();
        json.end_array();
    }
    json.begin("unmapped");
    json.text("before_json", admin.before_json(), state_bytes);
    json.text("after_json", admin.after_json(), state_bytes);
    return finish(std::move(json));
}

// -- the gateway about itself

std::string write_system(const v1::AuditEvent& event, Charset charset) {
    using Event = v1::SystemRecord::Event;
    const auto& system = event.system();
    Frame frame;
    frame.time_ms = to_ms(event.recorded_at());
    frame.event_code = Event::Value_Name(system.event());
    switch (system.event()) {
        case Event::STARTED:
            frame.of = Class::application_lifecycle;
            frame.activity = {3, "Start"};
            break;
        case Event::STOPPED:
            frame.of = Class::application_lifecycle;
            frame.activity = {4, "Stop"};
            break;
        case Event::RECOVERED:
            frame.of = Class::application_lifecycle;
            frame.activity = {5, "Restart"};
            frame.severity = Severity::medium;
            break;
        case Event::CORRUPTION:
            frame.activity = {activity_other, "Corruption"};
            frame.severity = Severity::high;
            break;
        default:
            frame.activity = {activity_other, "Clock step"};
            frame.severity = Severity::low;
            break;
    }
    JsonWriter json(charset);
    write_frame(json, event, frame);
    json.text("message", system.detail(), state_bytes);
    if (frame.of == Class::application_lifecycle) {
        json.begin("app");
        json.text("name", "usherd");
        json.text("vendor_name", "Usher");
        json.end();
    }
    json.begin("unmapped");
    return finish(std::move(json));
}

}  // namespace

std::string to_ocsf(const v1::AuditEvent& event, Charset charset) {
    switch (event.record_case()) {
        case v1::AuditEvent::kAccess:
            return write_access(event, charset);
        case v1::AuditEvent::kSession:
            return write_session_event(event, charset);
        case v1::AuditEvent::kAdmin:
            return write_admin(event, charset);
        default:
            return write_system(event, charset);
    }
}

std::string to_ocsf(const v1::AccessRecord& access) {
    v1::AuditEvent event;
    event.set_gateway_id(access.gateway_id());
    event.set_sequence(access.sequence());
    *event.mutable_access() = access;
    return to_ocsf(event);
}

}  // namespace usher::audit::ocsf
