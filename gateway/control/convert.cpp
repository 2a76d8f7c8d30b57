#include "gateway/control/convert.hpp"

#include <set>

#include "auth/username.hpp"
#include "gateway/control/convert_fields.hpp"
#include "gateway/record.hpp"

namespace usher::gateway::control {
namespace {

using base::Result;
namespace v1 = usher::v1;

Result<std::optional<base::UtcTime>> read_time(bool given, const google::protobuf::Timestamp& time,
                                               std::string_view field) {
    if (!given) return std::optional<base::UtcTime>{};
    auto read = from_proto(time, field);
    if (!read) return std::move(read).error();
    return std::optional(*read);
}

}  // namespace

v1::Role::Value to_proto(auth::Role role) {
    switch (role) {
        case auth::Role::employee:
            return v1::Role::EMPLOYEE;
        case auth::Role::auditor:
            return v1::Role::AUDITOR;
        case auth::Role::administrator:
            return v1::Role::ADMINISTRATOR;
        case auth::Role::privacy_officer:
            return v1::Role::PRIVACY_OFFICER;
    }
    return v1::Role::UNSPECIFIED;
}

Result<auth::Role> from_proto(v1::Role::Value role, std::string_view field) {
    switch (role) {
        case v1::Role::EMPLOYEE:
            return auth::Role::employee;
        case v1::Role::AUDITOR:
            return auth::Role::auditor;
        case v1::Role::ADMINISTRATOR:
            return auth::Role::administrator;
        case v1::Role::PRIVACY_OFFICER:
            return auth::Role::privacy_officer;
        default:
            return invalid(field, "expected EMPLOYEE, AUDITOR, PRIVACY_OFFICER or ADMINISTRATOR");
    }
}

v1::EnrolledDevice::State::Value to_proto(auth::DeviceState state) {
    switch (state) {
        case auth::DeviceState::pending:
            return v1::EnrolledDevice::State::PENDING;
        case auth::DeviceState::active:
            return v1::EnrolledDevice::State::ACTIVE;
        case auth::DeviceState::locked:
            return v1::EnrolledDevice::State::LOCKED;
        case auth::DeviceState::lost:
            return v1::EnrolledDevice::State::LOST;
        case auth::DeviceState::unbound:
            return v1::EnrolledDevice::State::UNBOUND;
    }
    return v1::EnrolledDevice::State::UNSPECIFIED;
}

Result<auth::DeviceState> from_proto(v1::EnrolledDevice::State::Value state, std::string_view field) {
    for (const auto known : {auth::DeviceState::pending, auth::DeviceState::active, auth::DeviceState::locked,
                             auth::DeviceState::lost, auth::DeviceState::unbound})
        if (to_proto(known) == state) return known;
    return invalid(field, "expected ACTIVE or PENDING");
}

google::protobuf::Timestamp to_proto(base::UtcTime time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    google::protobuf::Timestamp out;
    out.set_seconds(seconds.time_since_epoch().count());
    out.set_nanos(static_cast<std::int32_t>((time - seconds).count() * 1000));
    return out;
}

Result<base::UtcTime> from_proto(const google::protobuf::Timestamp& time, std::string_view field) {
    // The range of google.protobuf.Timestamp: 0001-01-01 to 9999-12-31.
    constexpr std::int64_t first = -62'135'596'800, last = 253'402'300'799;
    if (time.seconds() < first || time.seconds() > last || time.nanos() < 0 || time.nanos() > 999'999'999) {
        return invalid(field, "is not a time between the years 1 and 9999");
    }
    return base::from_micros(time.seconds() * 1'000'000 + time.nanos() / 1000);
}

v1::Account to_proto(const auth::Account& account) {
    v1::Account out;
    out.set_name("accounts/" + account.username);
    out.set_account_id(account.id);
    out.set_username(account.username);
    out.set_display_name(account.display_name);
    out.set_department(account.department);
    out.mutable_groups()->Assign(account.groups.begin(), account.groups.end());
    out.set_office_mail(account.office_mail);
    out.set_office_phone(account.office_phone);
    out.set_employee_number(account.employee_number);
    out.set_source(account.source);
    out.set_outside_id(account.outside_id);
    out.set_role(to_proto(account.role));
    out.set_status(account.status == auth::AccountStatus::active ? v1::AccountStatus::ACTIVE
                                                                 : v1::AccountStatus::DISABLED);
    *out.mutable_created_at() = to_proto(account.created_at);
    *out.mutable_updated_at() = to_proto(account.updated_at);
    out.set_second_factor(account.second_factor);
    out.set_must_change_password(account.must_change_password);
    if (account.valid_from) *out.mutable_valid_from() = to_proto(*account.valid_from);
    if (account.valid_until) *out.mutable_valid_until() = to_proto(*account.valid_until);
    return out;
}

v1::Session to_proto(const auth::Session& session, const std::string& username, base::UtcTime expires_at,
                     std::uint64_t open_accesses) {
    v1::Session out;
    out.set_name("sessions/" + session.id);
    out.set_session_id(session.id);
    out.set_account_id(session.account_id);
    out.set_username(username);
    out.set_client_ip(session.client_ip);
    auto& device = *out.mutable_device();
    device.set_device_id(session.device.device_id);
    device.set_name(session.device.name);
    device.set_brand(session.device.brand);
    device.set_model(session.device.model);
    device.set_os(session.device.os);
    device.set_language(session.device.language);
    if (const auto posture = session.posture.get()) add_posture(device, *posture);
    *out.mutable_created_at() = to_proto(session.created_at);
    *out.mutable_last_used_at() = to_proto(base::from_micros(session.last_used_us.load(std::memory_order_relaxed)));
    *out.mutable_expires_at() = to_proto(expires_at);
    out.set_open_accesses(open_accesses);
    if (const auto proved = session.second_factor_us.load(); proved != 0)
        *out.mutable_second_factor_at() = to_proto(base::from_micros(proved));
    return out;
}

Result<auth::Account> from_proto(const v1::Account& account) {
    auth::Account out;
    out.username = account.username();
    if (!account.name().empty()) {
        auto name = read_name(account.name(), "accounts");
        if (!name) return std::move(name).error();
        if (out.username.empty()) out.username = *name;
        if (*name != out.username) return invalid("account.name", "does not fit account.username");
    }
    out.display_name = account.display_name();
    out.department = account.department();
    out.groups = texts(account.groups());
    out.office_mail = account.office_mail();
    out.office_phone = account.office_phone();
    out.employee_number = account.employee_number();
    out.source = account.source();
    out.outside_id = account.outside_id();
    if (account.role() != v1::Role::UNSPECIFIED) {
        auto role = from_proto(account.role(), "role");
        if (!role) return std::move(role).error();
        out.role = *role;
    }
    auto from = read_time(account.has_valid_from(), account.valid_from(), "valid_from");
    if (!from) return std::move(from).error();
    auto until = read_time(account.has_valid_until(), account.valid_until(), "valid_until");
    if (!until) return std::move(until).error();
    out.valid_from = *from;
    out.valid_until = *until;
    return out;
}

Result<auth::AccountUpdate> read_update(const v1::Account& account, const google::protobuf::FieldMask& mask,
                                        std::string_view field) {
    constexpr std::string_view known =
        "display_name, department, groups, office_mail, office_phone, employee_number, source, outside_id, role, "
        "valid_from, valid_until";
    auth::AccountUpdate update;
    std::set<std::string_view> seen;
    for (const auto& path : mask.paths()) {
        if (!seen.insert(path).second) return invalid(field, quoted(path) + " is given twice");
        if (path == "display_name") {
            update.display_name = account.display_name();
        } else if (path == "department") {
            update.department = account.department();
        } else if (path == "groups") {
            update.groups = texts(account.groups());
        } else if (path == "office_mail") {
            update.office_mail = account.office_mail();
        } else if (path == "office_phone") {
            update.office_phone = account.office_phone();
        } else if (path == "employee_number") {
            update.employee_number = account.employee_number();
        } else if (path == "source") {
            update.source = account.source();
        } else if (path == "outside_id") {
            update.outside_id = account.outside_id();
        } else if (path == "role") {
            auto role = from_proto(account.role(), "role");
            if (!role) return std::move(role).error();
            update.role = *role;
        } else if (path == "valid_from") {
            auto time = read_time(account.has_valid_from(), account.valid_from(), path);
            if (!time) return std::move(time).error();
            update.valid_from = *time;
        } else if (path == "valid_until") {
            auto time = read_time(account.has_valid_until(), account.valid_until(), path);
            if (!time) return std::move(time).error();
            update.valid_until = *time;
        } else {
            return invalid(field, quoted(path) + " cannot be updated; expected " + std::string(known));
        }
    }
    if (seen.empty()) return invalid(field, "is missing; expected one or more of " + std::string(known));
    return update;
}

Result<std::string> read_name(const std::string& name, std::string_view collection) {
    std::string_view last = name;
    const auto prefix = std::string(collection) + "/";
    if (last.starts_with(prefix)) last.remove_prefix(prefix.size());
    if (last.empty() || last.find('/') != std::string_view::npos) {
        return invalid("name", quoted(name) + " is not of the form \"" + prefix + "...\"");
    }
    return std::string(last);
}

Result<std::string> read_account_name(const std::string& name) {
    auto last = read_name(name, "accounts");
    if (!last) return last;
    auto canonical = auth::canonical_username(*last);
    if (!canonical) return invalid("name", quoted(name) + " cannot be the name of an account");
    return std::move(*canonical);
}

}  // namespace usher::gateway::control
