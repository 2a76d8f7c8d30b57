#include "auth/change_json.hpp"

#include "auth/validate.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

/// Writes one object, members in the order of the calls.
class ObjectWriter {
public:
    void text(std::string_view key, std::string_view value) { member(key) += base::json_quote(value); }
    void boolean(std::string_view key, bool value) { member(key) += value ? "true" : "false"; }
    void time(std::string_view key, base::UtcTime value) { text(key, base::format_rfc3339(value)); }
    void texts(std::string_view key, const std::vector<std::string>& values) {
        list(key, values, [](const std::string& value) { return base::json_quote(value); });
    }
    template <class Values, class ToJson>
    void list(std::string_view key, const Values& values, ToJson to_json_text) {
        auto& out = member(key);
        out += '[';
        bool first = true;
        for (const auto& value : values) {
            if (!first) out += ',';
            first = false;
            out += to_json_text(value);
        }
        out += ']';
    }
    std::string finish() && { return std::move(out_ += '}'); }

private:
    std::string& member(std::string_view key) {
        out_ += out_.empty() ? '{' : ',';
        return out_ += base::json_quote(key) + ':';
    }
    std::string out_;
};

std::string rule_json(const Rule& rule) {
    ObjectWriter out;
    out.texts("accounts", rule.accounts);
    out.texts("groups", rule.groups);
    out.texts("departments", rule.departments);
    // What most rules do not have is left out.
    if (!rule.roles.empty()) out.list("roles", rule.roles, [](Role role) { return base::json_quote(to_word(role)); });
    if (!rule.networks.empty())
        out.list("networks", rule.networks, [](const auto& network) { return base::json_quote(network.to_string()); });
    if (!rule.times.empty())
        out.list("times", rule.times, [](const auto& window) { return base::json_quote(window.to_string()); });
    if (!rule.devices.empty())
        out.list("devices", rule.devices, [](DeviceState state) { return base::json_quote(to_word(state)); });
    if (rule.mfa_within) out.text("mfa_within", base::format_duration(*rule.mfa_within));
    return std::move(out).finish();
}

std::string expectation_json(const Expectation& expected) {
    ObjectWriter out;
    out.text("account", expected.account);
    out.text("app", expected.app);
    if (expected.context.client_address) out.text("from", expected.context.client_address->to_string());
    if (expected.context.time) out.time("at", *expected.context.time);
    if (expected.context.second_factor_age)
        out.text("second_factor_age", base::format_duration(*expected.context.second_factor_age));
    if (expected.context.device) out.text("device", to_word(*expected.context.device));
    out.boolean("allow", expected.allow);
    return std::move(out).finish();
}

}  // namespace

std::string to_json(const Account& account) {
    ObjectWriter out;
    out.text("account_id", account.id);
    out.text("username", account.username);
    out.text("display_name", account.display_name);
    out.text("department", account.department);
    out.texts("groups", account.groups);
    out.text("office_mail", account.office_mail);
    out.text("office_phone", account.office_phone);
    if (!account.employee_number.empty()) out.text("employee_number", account.employee_number);
    if (!account.source.empty()) {
        out.text("source", account.source);
        out.text("outside_id", account.outside_id);
    }
    out.text("role", to_word(account.role));
    out.text("status", to_word(account.status));
    if (account.valid_from) out.time("valid_from", *account.valid_from);
    if (account.valid_until) out.time("valid_until", *account.valid_until);
    if (account.must_change_password) out.boolean("must_change_password", true);
    if (account.second_factor) out.boolean("second_factor", true);
    out.time("created_at", account.created_at);
    out.time("updated_at", account.updated_at);
    return std::move(out).finish();
}

std::string to_json(const App& app) {
    ObjectWriter out;
    out.text("name", app.name);
    out.list("destinations", app.destinations, [](const auto& d) { return base::json_quote(d.to_string()); });
    out.list("allow_addresses", app.allow_addresses, [](const auto& a) { return base::json_quote(a.to_string()); });
    if (app.on_control_loss != ControlLoss{}) out.text("on_control_loss", app.on_control_loss.to_string());
    out.time("updated_at", app.updated_at);
    return std::move(out).finish();
}

std::string to_json(const Policy& policy) {
    ObjectWriter out;
    out.text("name", policy.name);
    out.texts("apps", policy.apps);
    out.list("allow", policy.allow, rule_json);
    out.list("deny", policy.deny, rule_json);
    if (!policy.expect.empty()) out.list("expect", policy.expect, expectation_json);
    out.time("updated_at", policy.updated_at);
    return std::move(out).finish();
}

std::string to_json(const Department& department) {
    ObjectWriter out;
    out.text("code", department.code);
    out.text("name", department.name);
    if (!department.parent.empty()) out.text("parent", department.parent);
    out.time("updated_at", department.updated_at);
    return std::move(out).finish();
}

}  // namespace usher::auth
