#pragma once
#include <algorithm>
#include <iterator>
#include <string_view>

#include "gateway/control/caller.hpp"

namespace usher::gateway::control {

/// A method of the API.
struct Method {
    std::string_view name;    ///< "AccountService/CreateAccount", of the package usher.v1
    std::string_view action;  ///< on record: "account.create"
    Need need;                ///< what it asks of its caller
};

/// Who may call what: the one table, with a line for each method that there is. Which fields an auditor is shown is in
/// personal_fields.hpp, and what takes two people in two_person.hpp.
inline constexpr Method methods[] = {
    {"AccountService/CreateAccount", "account.create", Need::administrator},
    {"AccountService/GetAccount", "account.get", Need::auditor},
    {"AccountService/ListAccounts", "account.list", Need::auditor},
    {"AccountService/UpdateAccount", "account.update", Need::administrator},
    {"AccountService/ImportAccounts", "account.import", Need::administrator},
    {"AccountService/DisableAccount", "account.disable", Need::administrator},
    {"AccountService/EnableAccount", "account.enable", Need::administrator},
    {"AccountService/DeleteAccount", "account.delete", Need::administrator},
    {"AccountService/PreviewAccountDeletion", "account.preview-deletion", Need::auditor},
    {"AccountService/SetPassword", "account.set-password", Need::administrator},
    {"AccountService/EnrollSecondFactor", "account.enroll-second-factor", Need::administrator},
    {"AccountService/ResetSecondFactor", "account.reset-second-factor", Need::administrator},

    {"ResourceService/Apply", "resource.apply", Need::administrator},
    {"ResourceService/GetApp", "app.get", Need::auditor},
    {"ResourceService/ListApps", "app.list", Need::auditor},
    {"ResourceService/DeleteApp", "app.delete", Need::administrator},
    {"ResourceService/GetPolicy", "policy.get", Need::auditor},
    {"ResourceService/ListPolicies", "policy.list", Need::auditor},
    {"ResourceService/DeletePolicy", "policy.delete", Need::administrator},
    {"ResourceService/GetDepartment", "department.get", Need::auditor},
    {"ResourceService/ListDepartments", "department.list", Need::auditor},
    {"ResourceService/DeleteDepartment", "department.delete", Need::administrator},
    {"ResourceService/ExplainPolicy", "policy.explain", Need::auditor},
    {"ResourceService/DiffPolicies", "policy.diff", Need::auditor},
    {"ResourceService/ReplayPolicies", "policy.replay", Need::auditor},

    {"SessionService/ListSessions", "session.list", Need::auditor},
    {"SessionService/RevokeSessions", "session.revoke", Need::administrator},

    {"DeviceService/ListDevices", "device.list", Need::auditor},
    {"DeviceService/GetDevice", "device.get", Need::auditor},
    {"DeviceService/ApproveDevice", "device.approve", Need::administrator},
    {"DeviceService/LockDevice", "device.lock", Need::administrator},
    {"DeviceService/UnlockDevice", "device.unlock", Need::administrator},
    {"DeviceService/LoseDevice", "device.lose", Need::administrator},
    {"DeviceService/UnbindDevice", "device.unbind", Need::administrator},

    {"AuditService/Tail", "audit.tail", Need::auditor},
    {"AuditService/ListAccesses", "access.list", Need::auditor},
    {"AuditService/GetAuditStatus", "audit.status", Need::auditor},
    {"AuditService/ListParkedRecords", "parked_record.list", Need::auditor},
    {"AuditService/GetParkedRecord", "parked_record.get", Need::auditor},
    {"AuditService/RetryParkedRecords", "parked_record.retry", Need::administrator},
    {"AuditService/DiscardParkedRecord", "parked_record.discard", Need::administrator},

    {"RetentionService/GetRetentionStatus", "retention.status", Need::auditor},
    {"RetentionService/RunRetention", "retention.run", Need::administrator},
    {"RetentionService/ListRetentionClasses", "retention_class.list", Need::auditor},
    {"RetentionService/ListHolds", "hold.list", Need::auditor},
    {"RetentionService/DeleteRetentionClass", "retention_class.delete", Need::administrator},
    {"RetentionService/DeleteHold", "hold.delete", Need::administrator},
    {"RetentionService/ListPendingOrders", "pending_order.list", Need::auditor},
    {"RetentionService/DeletePendingOrder", "pending_order.delete", Need::administrator},

    {"SinkService/ListSinks", "sink.list", Need::auditor},
    {"SinkService/ListParkedSinkRecords", "sink.list_parked", Need::auditor},
    {"SinkService/RetryParkedSinkRecords", "sink.retry", Need::administrator},

    {"GatewayService/GetGatewayStatus", "gateway.status", Need::auditor},
    {"GatewayService/DrainGateway", "gateway.drain", Need::administrator},
    {"GatewayService/UpgradeGateway", "gateway.upgrade", Need::administrator},
};

/// The method's line. A name that is not in the table does not compile.
consteval const Method& method(std::string_view name) {
    return *std::find_if(std::begin(methods), std::end(methods), [&](const Method& m) { return m.name == name; });
}

}  // namespace usher::gateway::control
