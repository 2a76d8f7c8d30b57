#include "clients/usherctl/views.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "clients/usherctl/output.hpp"
#include "clients/usherctl/role_words.hpp"

namespace usher::clients::control {

namespace v1 = usher::v1;

namespace {

/// "IDLE_TIMEOUT" -> "idle-timeout".
std::string friendly(std::string name) {
    name = base::to_lower(name);
    std::replace(name.begin(), name.end(), '_', '-');
    return name == "unspecified" ? std::string{} : name;
}

std::string host_and_port(const std::string& host, std::uint32_t port) {
    if (host.empty()) return {};
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string destination_of(const v1::AccessRecord& record) {
    return host_and_port(record.destination_host(), record.destination_port());
}

std::string bytes_of(std::uint64_t bytes, bool uncertain) { return (uncertain ? ">= " : "") + human_bytes(bytes); }

/// Why it ended, or why it never began.
std::string reason_of(const v1::AccessRecord& record) {
    std::string why = friendly(v1::CloseReason::Value_Name(record.close_reason()));
    if (record.verdict() != v1::Verdict::ALLOWED || why.empty()) {
        // What let it pass is a rule, and the rule's conditions need no room in a line.
        const bool by_rule = record.verdict() == v1::Verdict::ALLOWED && !record.reasons().empty();
        const std::string reasons = by_rule ? record.reasons(0) : joined(record.reasons(), "; ");
        if (!why.empty() && !reasons.empty()) why += ": ";
        why += reasons;
    }
    if (record.count() > 1) why += " (" + std::to_string(record.count()) + " times)";
    return why;
}

std::string rule_text(const v1::Rule& rule) {
    std::string out;
    const auto add = [&out](std::string_view what, const auto& texts) {
        if (texts.empty()) return;
        if (!out.empty()) out += " and ";
        out += std::string(what) + " " + joined(texts, "|");
    };
    add("account", rule.accounts());
    add("group", rule.groups());
    add("department", rule.departments());
    std::vector<std::string> roles;
    for (const auto role : rule.roles()) roles.push_back(role_word(static_cast<v1::Role::Value>(role)));
    add("role", roles);
    add("from", rule.networks());
    add("at", rule.times());
    std::vector<std::string> devices;
    for (const auto state : rule.devices())
        devices.push_back(
            friendly(v1::EnrolledDevice::State::Value_Name(static_cast<v1::EnrolledDevice::State::Value>(state))));
    add("device", devices);
    if (!rule.posture().empty()) out += " and " + joined(rule.posture(), " and ");
    if (!rule.mfa_within().empty()) out += " and second factor within " + rule.mfa_within();
    return out;
}

template <class Rules>
std::string rules_text(const Rules& rules) {
    std::string out;
    for (const auto& rule : rules) {
        if (!out.empty()) out += "; ";
        out += rule_text(rule);
    }
    return out;
}

/// "alice" or "-", escaped.
std::string shown(std::string_view text, std::size_t limit = 100) {
    return text.empty() ? "-" : base::escape_for_terminal(text, limit);
}

std::string device_text(const v1::Device& device) {
    std::string text = device.name();
    if (!device.os().empty()) text += (text.empty() ? "" : ", ") + device.os();
    return text;
}

std::string access_line(const v1::AccessRecord& record) {
    std::string line = shown(record.username()) + " " + shown(record.app()) + " " + shown(destination_of(record), 300);
    const bool figures =
        record.event() == v1::AccessEventType::CLOSED || record.event() == v1::AccessEventType::PROGRESS;
    if (figures)
        line += " up " + bytes_of(record.bytes_up(), record.bytes_uncertain()) + " down " +
                bytes_of(record.bytes_down(), record.bytes_uncertain()) + " " + human_duration(record.duration_us());
    if (const auto why = reason_of(record); !why.empty() && record.event() != v1::AccessEventType::PROGRESS)
        line += " " + base::escape_for_terminal(why, 500);
    return line;
}

}  // namespace

std::vector<Column> columns_of(const v1::Account&) {
    return {{"USERNAME"}, {"NAME"}, {"DEPARTMENT"}, {"GROUPS"}, {"ROLE"}, {"STATUS"}, {"CREATED"}};
}
std::vector<std::string> cells_of(const v1::Account& account) {
    return {account.username(),
            account.display_name(),
            account.department(),
            joined(account.groups()),
            role_word(account.role()),
            friendly(v1::AccountStatus::Value_Name(account.status())),
            shown_time(account.has_created_at(), account.created_at())};
}

std::vector<Column> columns_of(const v1::App&) {
    return {{"NAME"}, {"ALLOWED ADDRESSES"}, {"UPDATED"}, {"DESTINATIONS"}};
}
std::vector<std::string> cells_of(const v1::App& app) {
    return {app.name(), joined(app.allow_addresses()), shown_time(app.has_updated_at(), app.updated_at()),
            joined(app.destinations())};
}

std::vector<Column> columns_of(const v1::Policy&) { return {{"NAME"}, {"APPS"}, {"UPDATED"}, {"ALLOW"}, {"DENY"}}; }
std::vector<std::string> cells_of(const v1::Policy& policy) {
    return {policy.name(), joined(policy.apps()), shown_time(policy.has_updated_at(), policy.updated_at()),
            rules_text(policy.allow()), rules_text(policy.deny())};
}

std::vector<Column> columns_of(const v1::Department&) { return {{"CODE"}, {"NAME"}, {"IN"}, {"UPDATED"}}; }
std::vector<std::string> cells_of(const v1::Department& department) {
    return {department.code(), department.name(), department.parent(),
            shown_time(department.has_updated_at(), department.updated_at())};
}

std::vector<Column> columns_of(const v1::PolicyDifference&) {
    return {{"APP"}, {"ACCOUNT"}, {"CHANGE"}, {"BEFORE"}, {"AFTER"}};
}
std::vector<std::string> cells_of(const v1::PolicyDifference& difference) {
    const auto before = difference.before(), after = difference.after();
    return {difference.app(), difference.account(),
            after > before   ? "gains"
            : after < before ? "loses"
                             : "changes",
            friendly(v1::Reach::Value_Name(before)), friendly(v1::Reach::Value_Name(after))};
}

std::vector<Column> columns_of(const v1::PolicyFlip&) {
    return {{"OPENED"}, {"ACCOUNT"}, {"APP"}, {"DESTINATION"}, {"WAS"}, {"WOULD BE"}};
}
std::vector<std::string> cells_of(const v1::PolicyFlip& flip) {
    const std::string changed = flip.account_changed() ? " (account changed since)" : "";
    return {shown_time(flip.has_opened_at(), flip.opened_at()),
            flip.account(),
            flip.app(),
            host_and_port(flip.destination_host(), flip.destination_port()),
            (flip.allowed() ? "allowed: " : "denied: ") + flip.recorded_reason(),
            (flip.allowed() ? "denied: " : "allowed: ") + flip.reason() + changed};
}

std::vector<Column> columns_of(const v1::RetentionClass&) {
    return {{"NAME"}, {"MIN DAYS", true}, {"MAX DAYS", true}, {"UPDATED"}};
}
std::vector<std::string> cells_of(const v1::RetentionClass& retention_class) {
    return {retention_class.name(), std::to_string(retention_class.min_days()),
            retention_class.has_max_days() ? std::to_string(retention_class.max_days()) : "for ever",
            shown_time(retention_class.has_updated_at(), retention_class.updated_at())};
}

std::vector<Column> columns_of(const v1::Hold&) {
    return {{"NAME"}, {"CASE"}, {"ACCOUNT"}, {"APP"}, {"FROM"}, {"UNTIL"}, {"CREATED"}, {"BY"}};
}
std::vector<std::string> cells_of(const v1::Hold& hold) {
    return {hold.name(),
            hold.case_id(),
            hold.account(),
            hold.app(),
            shown_time(hold.has_from(), hold.from()),
            shown_time(hold.has_until(), hold.until()),
            shown_time(hold.has_created_at(), hold.created_at()),
            hold.created_by()};
}

std::vector<Column> columns_of(const v1::Session&) {
    return {{"SESSION"},   {"USERNAME"}, {"CLIENT"},     {"SIGNED IN"},
            {"LAST USED"}, {"EXPIRES"},  {"OPEN", true}, {"DEVICE"}};
}
std::vector<std::string> cells_of(const v1::Session& session) {
    return {session.session_id(),
            session.username(),
            session.client_ip(),
            shown_time(session.has_created_at(), session.created_at()),
            shown_time(session.has_last_used_at(), session.last_used_at()),
            shown_time(session.has_expires_at(), session.expires_at()),
            std::to_string(session.open_accesses()),
            device_text(session.device())};
}

std::vector<Column> columns_of(const v1::Sink&) {
    return {{"NAME"}, {"KIND"}, {"ADDRESS"}, {"BEHIND"}, {"FOR"}, {"PARKED"}, {"STATE"}};
}
std::vector<std::string> cells_of(const v1::Sink& sink) {
    return {sink.name(),
            sink.kind(),
            sink.address(),
            std::to_string(sink.lag_records()),
            sink.has_lag() ? std::to_string(sink.lag().seconds()) + "s" : "",
            std::to_string(sink.parked_records()),
            sink.error().empty()
                ? "in order"
                : sink.error() + " (since " + shown_time(sink.has_failing_since(), sink.failing_since()) + ")"};
}

std::vector<Column> columns_of(const v1::ParkedSinkRecord&) {
    return {{"SINK"}, {"RECORD"}, {"RECORDED"}, {"PARKED"}, {"RETRY"}, {"ERROR"}};
}
std::vector<std::string> cells_of(const v1::ParkedSinkRecord& parked) {
    return {parked.sink(),
            parked.record(),
            shown_time(parked.has_recorded_at(), parked.recorded_at()),
            shown_time(parked.has_parked_at(), parked.parked_at()),
            parked.retry() ? "asked for" : "",
            parked.error()};
}

std::vector<Column> columns_of(const v1::ParkedRecord&) { return {{"RECORD"}, {"RECORDED"}, {"EVENT"}, {"ERROR"}}; }
std::vector<std::string> cells_of(const v1::ParkedRecord& parked) {
    return {parked.record(), shown_time(parked.has_recorded_at(), parked.recorded_at()), parked.event(),
            parked.error()};
}

std::vector<Column> columns_of(const v1::EnrolledDevice&) {
    return {{"DEVICE"}, {"USERNAME"}, {"STATE"}, {"LAST SEEN"}, {"CERTIFICATE UNTIL"}, {"NAME"}};
}
std::vector<std::string> cells_of(const v1::EnrolledDevice& device) {
    return {device.device_id(),
            device.username(),
            base::to_lower(v1::EnrolledDevice::State::Value_Name(device.state())),
            shown_time(device.has_last_seen_at(), device.last_seen_at()),
            shown_time(device.has_not_after(), device.not_after()),
            device.display_name()};
}

std::vector<Column> columns_of(const v1::AccessRecord&) {
    return {{"OPENED"},   {"EVENT"},      {"USER"},           {"APP"},     {"DESTINATION"},
            {"UP", true}, {"DOWN", true}, {"DURATION", true}, {"VERDICT"}, {"REASON"}};
}
std::vector<std::string> cells_of(const v1::AccessRecord& record) {
    return {shown_time(record.has_opened_at(), record.opened_at()),
            v1::AccessEventType::Value_Name(record.event()),
            record.username(),
            record.app(),
            destination_of(record),
            bytes_of(record.bytes_up(), record.bytes_uncertain()),
            bytes_of(record.bytes_down(), record.bytes_uncertain()),
            human_duration(record.duration_us()),
            friendly(v1::Verdict::Value_Name(record.verdict())),
            reason_of(record)};
}

std::string details_of(const v1::Account& account) {
    KeyValues rows;
    rows.add("username", account.username());
    rows.add("display name", account.display_name());
    rows.add("department", account.department());
    rows.add("groups", joined(account.groups()));
    const auto personal = [&](const char* name, const char* field, const std::string& value) {
        const auto& masked = account.masked_fields();
        const bool hidden = std::find(masked.begin(), masked.end(), field) != masked.end();
        rows.add(name, hidden ? "(not shown to your role)" : value);
    };
    personal("office mail", "office_mail", account.office_mail());
    personal("office phone", "office_phone", account.office_phone());
    personal("employee number", "employee_number", account.employee_number());
    if (!account.source().empty()) {
        rows.add("source", account.source());
        personal("outside id", "outside_id", account.outside_id());
    }
    rows.add("role", role_word(account.role()));
    rows.add("status", friendly(v1::AccountStatus::Value_Name(account.status())));
    if (account.must_change_password()) rows.add("password", "to be changed at the next sign-in");
    rows.add("second factor", account.second_factor() ? "enrolled" : "none");
    if (account.has_valid_from()) rows.add("valid from", shown_time(true, account.valid_from()));
    if (account.has_valid_until()) rows.add("valid until", shown_time(true, account.valid_until()));
    rows.add("account id", account.account_id());
    rows.add("created", shown_time(account.has_created_at(), account.created_at()));
    rows.add("updated", shown_time(account.has_updated_at(), account.updated_at()));
    return rows.render();
}

std::string line_of(const v1::AuditEvent& event) {
    std::string kind = "?";
    std::string rest;
    switch (event.record_case()) {
        case v1::AuditEvent::kAccess:
            kind = v1::AccessEventType::Value_Name(event.access().event());
            rest = access_line(event.access());
            break;
        case v1::AuditEvent::kAdmin: {
            const auto& admin = event.admin();
            kind = "ADMIN";
            rest = shown(admin.actor()) + " " + shown(admin.action()) + " " + shown(admin.resource(), 300) + " " +
                   friendly(v1::AdminRecord::Outcome::Value_Name(admin.outcome()));
            if (admin.count() > 0) rest += " (" + std::to_string(admin.count()) + ")";
            if (!admin.request_json().empty()) rest += " " + shown(admin.request_json(), 300);
            if (!admin.detail().empty()) rest += " " + shown(admin.detail(), 500);
            break;
        }
        case v1::AuditEvent::kSession: {
            const auto& session = event.session();
            kind = v1::SessionRecord::Event::Value_Name(session.event());
            rest = shown(session.username()) + " from " + shown(session.client_ip());
            if (!session.reason().empty()) rest += " " + shown(session.reason(), 300);
            if (session.count() > 1) rest += " (" + std::to_string(session.count()) + " times)";
            break;
        }
        case v1::AuditEvent::kSystem:
            kind = v1::SystemRecord::Event::Value_Name(event.system().event());
            rest = shown(event.system().detail(), 500);
            break;
        case v1::AuditEvent::RECORD_NOT_SET:
            break;
    }
    kind.resize(std::max<std::size_t>(kind.size(), 9), ' ');
    return shown_time(event.has_recorded_at(), event.recorded_at()) + "  " + kind + "  " + rest + "\n";
}

}  // namespace usher::clients::control
