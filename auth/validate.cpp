#include "auth/validate.hpp"

#include <algorithm>
#include <set>

#include "auth/directory.hpp"
#include "auth/username.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;
using base::Result;

constexpr std::size_t name_bytes_max = 64;

Error invalid(std::string_view field, std::string_view problem) {
    return {Errc::invalid_argument, std::string(field).append(": ").append(problem)};
}

std::string indexed(std::string_view field, std::size_t index) {
    return std::string(field).append("[").append(std::to_string(index)).append("]");
}

/// How a value from outside is shown in an error: printable and short.
std::string quoted(std::string_view value) { return "'" + base::escape_for_terminal(value, 100) + "'"; }

bool is_lower_or_digit(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/// Looks at well-formed UTF-8 only.
bool has_control(std::string_view text) noexcept {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte < 0x20 || byte == 0x7f) return true;
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
        if (byte == 0xc2 && next < 0xa0) return true;  // U+0080 to U+009F
        if (byte == 0xe2 && next == 0x80 && i + 2 < text.size()) {
            const auto last = static_cast<unsigned char>(text[i + 2]);
            if (last == 0xa8 || last == 0xa9) return true;  // U+2028, U+2029
        }
    }
    return false;
}

/// Names of apps and policies: lower-case letters, digits, "-" and ".", 1 to 64, beginning with a letter or digit.
Result<void> check_name(std::string_view name, std::string_view field = "name") {
    if (name.empty()) return invalid(field, "is missing");
    const bool good =
        name.size() <= name_bytes_max && is_lower_or_digit(name.front()) &&
        std::all_of(name.begin(), name.end(), [](char c) { return is_lower_or_digit(c) || c == '-' || c == '.'; });
    if (good) return {};
    return invalid(field, quoted(name) +
                              " must be 1 to 64 lower-case letters, digits, \"-\" or \".\", and begin with a letter or "
                              "digit");
}

Result<void> check_value(std::string_view field, std::string_view value) {
    if (value.empty()) return invalid(field, "is empty");
    return check_text(field, value);
}

Result<void> check_origin(const Account& account) {
    if (account.source.empty() && account.outside_id.empty()) return {};
    if (account.source.empty()) return invalid("source", "is missing; it says whose the outside_id is");
    if (account.outside_id.empty()) return invalid("outside_id", "is missing; the source knows the account by it");
    return check_name(account.source, "source");
}

Result<void> check_destination(std::string_view field, const DestinationPattern& pattern) {
    const auto text = pattern.to_string();
    const auto again = DestinationPattern::parse(text);
    if (!again || *again != pattern) return invalid(field, quoted(text) + " is not a destination");
    if (pattern.kind != DestinationPattern::Kind::block && is_reserved_host(pattern.name)) {
        return invalid(field, quoted(text) + " is reserved: names below \"usher.internal\" are the gateway's own");
    }
    return {};
}

Result<void> check_allow_address(std::string_view field, const base::Cidr& block) {
    const auto text = block.to_string();
    const auto again = base::Cidr::parse(text);
    if (!again || *again != block) return invalid(field, quoted(text) + " is not an address block");
    const auto v4 = block.prefix_bits >= 96 && block.network.is_v4();
    const auto first = block.network.bytes[v4 ? 12 : 0];
    const bool zero = v4 ? first == 0 : block.network == base::IpAddress{};
    // 0.0.0.0/8 is "this network" (RFC 1122 §3.2.1.3); shorter prefixes are blocks of much more than that.
    if (zero && block.prefix_bits >= (v4 ? 104u : 128u)) {
        return invalid(field, quoted(text) + " is the unspecified address, which is never dialled");
    }
    const bool multicast =
        v4 ? (first & 0xf0) == 0xe0 && block.prefix_bits >= 100 : first == 0xff && block.prefix_bits >= 8;
    if (multicast) return invalid(field, quoted(text) + " is multicast, which is never dialled");
    return {};
}

Result<void> canonicalize_rule(const std::string& field, Rule& rule) {
    if (rule.empty())
        return invalid(field,
                       "is empty; a rule names accounts, groups, departments, roles, networks, times or devices");
    for (std::size_t n = 0; n < rule.accounts.size(); ++n) {
        auto canonical = canonical_username(rule.accounts[n]);
        if (!canonical) {
            return invalid(indexed(field + ".accounts", n), quoted(rule.accounts[n]) + " cannot be a username");
        }
        rule.accounts[n] = std::move(*canonical);
    }
    for (std::size_t n = 0; n < rule.groups.size(); ++n) {
        if (auto ok = check_value(indexed(field + ".groups", n), rule.groups[n]); !ok) return ok;
    }
    for (std::size_t n = 0; n < rule.departments.size(); ++n) {
        if (auto ok = check_value(indexed(field + ".departments", n), rule.departments[n]); !ok) return ok;
    }
    for (std::size_t n = 0; n < rule.roles.size(); ++n) {
        if (role_from_word(to_word(rule.roles[n])) != rule.roles[n])
            return invalid(indexed(field + ".roles", n), "is none that exists");
    }
    for (std::size_t n = 0; n < rule.devices.size(); ++n) {
        if (!may_sign_in(rule.devices[n]))
            return invalid(indexed(field + ".devices", n), "is neither active nor pending; others are never let in");
    }
    if (rule.posture.size() > posture_tests_max)
        return invalid(field + ".posture", "has more than " + std::to_string(posture_tests_max) + " conditions");
    if (rule.mfa_within && (*rule.mfa_within < mfa_within_min || *rule.mfa_within > mfa_within_max))
        return invalid(field + ".mfa_within", "must be from 1s to 366d");
    for (std::size_t n = 0; n < rule.networks.size(); ++n) {
        const auto again = base::Cidr::parse(rule.networks[n].to_string());
        if (!again || *again != rule.networks[n])
            return invalid(indexed(field + ".networks", n), "is not an address block");
    }
    return {};
}

Result<void> canonicalize_rules(std::string_view list, std::vector<Rule>& rules, std::size_t& values) {
    if (rules.size() > rules_max) return invalid(list, "has more than " + std::to_string(rules_max) + " rules");
    for (std::size_t i = 0; i < rules.size(); ++i) {
        auto& rule = rules[i];
        values += rule.accounts.size() + rule.groups.size() + rule.departments.size() + rule.roles.size() +
                  rule.networks.size() + rule.times.size() + rule.devices.size() + rule.posture.size();
        if (auto ok = canonicalize_rule(indexed(list, i), rule); !ok) return ok;
        // It would deny whoever has proved more.
        if (rule.mfa_within && list == "deny")
            return invalid(indexed(list, i) + ".mfa_within", "belongs into rules of 'allow' only");
    }
    if (values > policy_values_max) {
        return invalid(
            list, "the policy's rules hold more than " + std::to_string(policy_values_max) + " values; use a group");
    }
    return {};
}

Result<void> canonicalize_expectations(std::vector<Expectation>& list) {
    if (list.size() > expectations_max)
        return invalid("expect", "has more than " + std::to_string(expectations_max) + " entries");
    for (std::size_t i = 0; i < list.size(); ++i) {
        const auto field = indexed("expect", i);
        auto canonical = canonical_username(list[i].account);
        if (!canonical) return invalid(field + ".account", quoted(list[i].account) + " cannot be a username");
        list[i].account = std::move(*canonical);
        if (auto ok = check_name(list[i].app); !ok) return invalid(field + ".app", ok.error().message);
        const auto& age = list[i].context.second_factor_age;
        if (age && (*age < base::Microseconds{0} || *age > mfa_within_max))
            return invalid(field + ".second_factor_age", "must be from 0s to 366d");
        if (list[i].context.device && !may_sign_in(*list[i].context.device))
            return invalid(field + ".device", "is neither active nor pending");
    }
    return {};
}

}  // namespace

Result<void> check_text(std::string_view field, std::string_view value) {
    if (value.size() > text_bytes_max) {
        return invalid(field, "is longer than " + std::to_string(text_bytes_max) + " bytes");
    }
    if (!base::is_utf8(value)) return invalid(field, "is not UTF-8");
    if (has_control(value)) return invalid(field, "holds a control character");
    return {};
}

Result<void> check_device(const DeviceClaims& device) {
    const std::pair<std::string_view, const std::string*> fields[] = {
        {"device.device_id", &device.device_id}, {"device.name", &device.name}, {"device.brand", &device.brand},
        {"device.model", &device.model},         {"device.os", &device.os},     {"device.language", &device.language}};
    for (const auto& [field, value] : fields) {
        if (auto ok = check_text(field, *value); !ok) return ok;
    }
    return {};
}

Result<void> canonicalize_groups(std::vector<std::string>& groups) {
    for (std::size_t i = 0; i < groups.size(); ++i) {
        if (auto ok = check_value(indexed("groups", i), groups[i]); !ok) return ok;
    }
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    if (groups.size() > groups_max) return invalid("groups", "are more than " + std::to_string(groups_max));
    return {};
}

Result<void> canonicalize(Account& account) {
    auto username = canonical_username(account.username);
    if (!username) {
        return invalid("username",
                       quoted(account.username) +
                           " must be 1 to 64 letters of one script, digits, \".\", \"-\" or \"_\", and begin with a "
                           "letter or digit");
    }
    account.username = std::move(*username);
    const std::pair<std::string_view, const std::string*> fields[] = {
        {"display_name", &account.display_name},       {"department", &account.department},
        {"office_mail", &account.office_mail},         {"office_phone", &account.office_phone},
        {"employee_number", &account.employee_number}, {"outside_id", &account.outside_id}};
    for (const auto& [field, value] : fields) {
        if (auto ok = check_text(field, *value); !ok) return ok;
    }
    if (auto ok = check_origin(account); !ok) return ok;
    if (role_from_word(to_word(account.role)) != account.role) return invalid("role", "is none that exists");
    if (status_from_word(to_word(account.status)) != account.status) return invalid("status", "is none that exists");
    if (account.valid_from && account.valid_until && *account.valid_from >= *account.valid_until)
        return invalid("valid_until", "is not later than valid_from");
    return canonicalize_groups(account.groups);
}

Result<void> canonicalize(App& app) {
    if (auto ok = check_name(app.name); !ok) return ok;
    if (app.name == control_app_name) return invalid("name", quoted(app.name) + " is the gateway's own app");
    if (app.destinations.empty()) return invalid("destinations", "is empty; an app has at least one");
    if (app.destinations.size() > destinations_max) {
        return invalid("destinations", "are more than " + std::to_string(destinations_max));
    }
    if (app.allow_addresses.size() > allow_addresses_max) {
        return invalid("allow_addresses", "are more than " + std::to_string(allow_addresses_max));
    }
    std::set<std::string> seen;
    for (std::size_t i = 0; i < app.destinations.size(); ++i) {
        const auto field = indexed("destinations", i);
        if (auto ok = check_destination(field, app.destinations[i]); !ok) return ok;
        const auto text = app.destinations[i].to_string();
        if (!seen.insert(text).second) return invalid(field, quoted(text) + " is given twice");
    }
    for (std::size_t i = 0; i < app.allow_addresses.size(); ++i) {
        if (auto ok = check_allow_address(indexed("allow_addresses", i), app.allow_addresses[i]); !ok) return ok;
    }
    return {};
}

Result<void> canonicalize(Policy& policy) {
    if (auto ok = check_name(policy.name); !ok) return ok;
    if (policy.apps.empty()) return invalid("apps", "is empty; a policy names at least one app");
    if (policy.apps.size() > policy_apps_max)
        return invalid("apps", "are more than " + std::to_string(policy_apps_max));
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < policy.apps.size(); ++i) {
        const auto field = indexed("apps", i);
        if (policy.apps[i] == control_app_name) {
            return invalid(field, quoted(policy.apps[i]) + " is the gateway's own app; roles decide who may use it");
        }
        if (!seen.insert(policy.apps[i]).second) return invalid(field, quoted(policy.apps[i]) + " is given twice");
    }
    std::size_t values = 0;
    if (auto ok = canonicalize_rules("allow", policy.allow, values); !ok) return ok;
    if (auto ok = canonicalize_rules("deny", policy.deny, values); !ok) return ok;
    if (policy.allow.empty() && policy.deny.empty()) return invalid("allow", "and deny are both empty");
    return canonicalize_expectations(policy.expect);
}

Result<void> canonicalize(Department& department) {
    // What an account may have as its department may be a code; but a code stands in names of resources.
    if (auto ok = check_value("code", department.code); !ok) return ok;
    if (department.code.find('/') != std::string::npos) return invalid("code", "must hold no \"/\"");
    if (auto ok = check_text("name", department.name); !ok) return ok;
    if (auto ok = check_text("parent", department.parent); !ok) return ok;
    if (department.parent == department.code) return invalid("parent", "is the department itself");
    return {};
}

bool is_reserved_host(std::string_view host) noexcept {
    constexpr std::string_view zone = "usher.internal";
    if (!host.ends_with(zone)) return false;
    return host.size() == zone.size() || host[host.size() - zone.size() - 1] == '.';
}

std::string_view to_word(Role role) noexcept {
    switch (role) {
        case Role::employee:
            return "employee";
        case Role::auditor:
            return "auditor";
        case Role::administrator:
            return "administrator";
        case Role::privacy_officer:
            return "privacy-officer";
    }
    return "unknown";
}

std::string_view to_word(AccountStatus status) noexcept {
    switch (status) {
        case AccountStatus::active:
            return "active";
        case AccountStatus::disabled:
            return "disabled";
    }
    return "unknown";
}

std::optional<Role> role_from_word(std::string_view word) noexcept {
    for (Role role : {Role::employee, Role::auditor, Role::administrator, Role::privacy_officer}) {
        if (word == to_word(role)) return role;
    }
    return std::nullopt;
}

std::optional<AccountStatus> status_from_word(std::string_view word) noexcept {
    for (AccountStatus status : {AccountStatus::active, AccountStatus::disabled}) {
        if (word == to_word(status)) return status;
    }
    return std::nullopt;
}

}  // namespace usher::auth
