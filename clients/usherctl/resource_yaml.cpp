#include <array>

#include "base/text.hpp"
#include "clients/usherctl/output.hpp"
#include "clients/usherctl/resource_file.hpp"
#include "clients/usherctl/role_words.hpp"

namespace usher::clients::control {

namespace {

using Texts = google::protobuf::RepeatedPtrField<std::string>;

std::string flow_list(const Texts& texts) {
    std::string out = "[";
    for (const auto& text : texts) {
        if (out.size() > 1) out += ", ";
        out += yaml_quote(text);
    }
    return out + "]";
}

std::string device_state_word(int state) {
    using State = usher::v1::EnrolledDevice::State;
    return base::to_lower(State::Value_Name(static_cast<State::Value>(state)));
}

std::string rules_yaml(std::string_view key, const google::protobuf::RepeatedPtrField<usher::v1::Rule>& rules) {
    if (rules.empty()) return {};
    std::string out = std::string(key) + ":\n";
    for (const auto& rule : rules) {
        std::string fields;
        const auto add = [&](std::string_view name, const Texts& texts) {
            if (texts.empty()) return;
            if (!fields.empty()) fields += ", ";
            fields += std::string(name) + ": " + flow_list(texts);
        };
        add("accounts", rule.accounts());
        add("groups", rule.groups());
        add("departments", rule.departments());
        Texts roles;
        for (const auto role : rule.roles()) *roles.Add() = role_word(static_cast<usher::v1::Role::Value>(role));
        add("roles", roles);
        add("networks", rule.networks());
        add("times", rule.times());
        Texts devices;
        for (const auto state : rule.devices()) *devices.Add() = device_state_word(state);
        add("devices", devices);
        add("posture", rule.posture());
        if (!rule.mfa_within().empty()) fields += ", mfa_within: " + yaml_quote(rule.mfa_within());
        out += "  - {" + fields + "}\n";
    }
    return out;
}

std::string expectations_yaml(const usher::v1::Policy& policy) {
    std::string out = policy.expect().empty() ? "" : "expect:\n";
    for (const auto& expected : policy.expect()) {
        out += "  - {account: " + yaml_quote(expected.account()) + ", app: " + yaml_quote(expected.app());
        if (!expected.client_ip().empty()) out += ", from: " + yaml_quote(expected.client_ip());
        if (expected.has_at()) out += ", at: " + yaml_quote(base::format_rfc3339(to_time(expected.at())));
        if (!expected.second_factor_age().empty())
            out += ", second_factor_age: " + yaml_quote(expected.second_factor_age());
        if (expected.device() != usher::v1::EnrolledDevice::State::UNSPECIFIED)
            out += ", device: " + yaml_quote(device_state_word(expected.device()));
        if (!expected.posture().empty()) out += ", posture: " + flow_list(expected.posture());
        out += std::string(", allow: ") + (expected.allow() ? "true" : "false") + "}\n";
    }
    return out;
}

}  // namespace

std::string yaml_quote(std::string_view text) {
    // A JSON string is a YAML one too (YAML 1.2 §1.3); what a terminal would obey is spelt as an escape.
    std::string out = "\"";
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        length = std::min(length, text.size() - i);
        const std::string_view character = text.substr(i, length);
        i += length;
        if (character == "\"" || character == "\\") {
            out += "\\";
            out += character;
        } else if (!base::is_utf8(character)) {
            out += "\\uFFFD";
        } else if (base::escape_for_terminal(character) == character) {
            out += character;
        } else {
            char32_t c = length == 1 ? lead : lead & (0xffU >> (length + 1));
            for (const char next : character.substr(1)) c = (c << 6) | (static_cast<unsigned char>(next) & 0x3f);
            std::array<char, 16> escape{};
            std::snprintf(escape.data(), escape.size(), c > 0xffff ? "\\U%08X" : "\\u%04X", static_cast<unsigned>(c));
            out += escape.data();
        }
    }
    return out + "\"";
}

std::string to_yaml(const usher::v1::App& app) {
    std::string out =
        "---\nkind: app\nname: " + yaml_quote(app.name()) + "\ndestinations: " + flow_list(app.destinations()) + "\n";
    if (!app.allow_addresses().empty()) out += "allow_addresses: " + flow_list(app.allow_addresses()) + "\n";
    if (!app.on_control_loss().empty()) out += "on_control_loss: " + yaml_quote(app.on_control_loss()) + "\n";
    return out;
}

std::string to_yaml(const usher::v1::Policy& policy) {
    return "---\nkind: policy\nname: " + yaml_quote(policy.name()) + "\napps: " + flow_list(policy.apps()) + "\n" +
           rules_yaml("allow", policy.allow()) + rules_yaml("deny", policy.deny()) + expectations_yaml(policy);
}

std::string to_yaml(const usher::v1::Department& department) {
    std::string out = "---\nkind: department\ncode: " + yaml_quote(department.code()) + "\n";
    if (!department.name().empty()) out += "name: " + yaml_quote(department.name()) + "\n";
    if (!department.parent().empty()) out += "parent: " + yaml_quote(department.parent()) + "\n";
    return out;
}

std::string to_yaml(const usher::v1::RetentionClass& retention_class) {
    std::string out = "---\nkind: retention_class\nname: " + yaml_quote(retention_class.name()) + "\n";
    if (retention_class.has_min_days()) out += "min_days: " + std::to_string(retention_class.min_days()) + "\n";
    if (retention_class.has_max_days()) out += "max_days: " + std::to_string(retention_class.max_days()) + "\n";
    return out;
}

std::string to_yaml(const usher::v1::Hold& hold) {
    std::string out = "---\nkind: hold\nname: " + yaml_quote(hold.name()) + "\n";
    if (!hold.case_id().empty()) out += "case: " + yaml_quote(hold.case_id()) + "\n";
    if (!hold.account().empty()) out += "account: " + yaml_quote(hold.account()) + "\n";
    if (!hold.app().empty()) out += "app: " + yaml_quote(hold.app()) + "\n";
    if (hold.has_from()) out += "from: " + yaml_quote(base::format_rfc3339(to_time(hold.from()))) + "\n";
    if (hold.has_until()) out += "until: " + yaml_quote(base::format_rfc3339(to_time(hold.until()))) + "\n";
    return out;
}

}  // namespace usher::clients::control
