#include "clients/usherctl/resource_file.hpp"

#include <array>
#include <span>

#include "base/text.hpp"
#include "clients/usherctl/output.hpp"
#include "clients/usherctl/role_words.hpp"

namespace usher::clients::control {

using base::Errc;
using base::Result;

namespace {

using Marks = std::map<std::string, SourceMark>;
using Texts = google::protobuf::RepeatedPtrField<std::string>;

/// Ends the reading of a file; turned into an Error at its edge.
struct Refused {
    SourceMark mark;
    std::string what;
};

std::string in_quotes(std::string_view text) { return "'" + base::escape_for_terminal(text, 60) + "'"; }

const YamlNode* find(const YamlNode& map, std::string_view key) {
    for (const auto& [name, value] : map.pairs)
        if (name.text == key) return &value;
    return nullptr;
}

void check_keys(const YamlNode& map, std::string_view where, std::span<const std::string_view> known) {
    for (const auto& [key, value] : map.pairs) {
        if (std::find(known.begin(), known.end(), key.text) != known.end()) continue;
        std::string what = "unknown key " + in_quotes(key.text) + " in " + std::string(where);
        if (const auto near = base::closest(key.text, known)) what += "; did you mean '" + std::string(*near) + "'?";
        throw Refused{key.mark, what};
    }
}

const std::string& text_of(const YamlNode& node, std::string_view key) {
    if (node.kind != YamlNode::Kind::text)
        throw Refused{node.mark, "'" + std::string(key) + "' must be text, not " + std::string(kind_name(node.kind))};
    return node.text;
}

void read_texts(const YamlNode& map, std::string_view key, const std::string& prefix, Texts& out, Marks& marks) {
    const YamlNode* list = find(map, key);
    if (list == nullptr) return;
    if (list->kind != YamlNode::Kind::list)
        throw Refused{list->mark,
                      "'" + std::string(key) + "' must be a list of texts, not " + std::string(kind_name(list->kind))};
    const std::string path = prefix + std::string(key);
    marks[path] = list->mark;
    for (std::size_t i = 0; i < list->items.size(); ++i) {
        const std::string item = path + "[" + std::to_string(i) + "]";
        marks[item] = list->items[i].mark;
        *out.Add() = text_of(list->items[i], item);
    }
}

void read_roles(const YamlNode& map, const std::string& prefix, usher::v1::Rule& rule, Marks& marks) {
    Texts texts;
    read_texts(map, "roles", prefix, texts, marks);
    for (int i = 0; i < texts.size(); ++i) {
        const auto role = role_from_word(texts[i]);
        if (!role)
            throw Refused{marks.at(prefix + "roles[" + std::to_string(i) + "]"),
                          in_quotes(texts[i]) + " is no role; expected " + role_words()};
        rule.add_roles(*role);
    }
}

/// The words of the states that a rule or an expectation may name.
usher::v1::EnrolledDevice::State::Value device_state_of(const std::string& text, const SourceMark& mark) {
    if (text == "active") return usher::v1::EnrolledDevice::State::ACTIVE;
    if (text == "pending") return usher::v1::EnrolledDevice::State::PENDING;
    throw Refused{mark, in_quotes(text) + " is no state of a device that is let in; these are active and pending"};
}

void read_devices(const YamlNode& map, const std::string& prefix, usher::v1::Rule& rule, Marks& marks) {
    Texts texts;
    read_texts(map, "devices", prefix, texts, marks);
    for (int i = 0; i < texts.size(); ++i)
        rule.add_devices(device_state_of(texts[i], marks.at(prefix + "devices[" + std::to_string(i) + "]")));
}

void read_rules(const YamlNode& map, const std::string& key, google::protobuf::RepeatedPtrField<usher::v1::Rule>& out,
                Marks& marks) {
    static constexpr std::array<std::string_view, 9> keys{"accounts", "groups",  "departments", "roles",     "networks",
                                                          "times",    "devices", "posture",     "mfa_within"};
    const YamlNode* list = find(map, key);
    if (list == nullptr) return;
    if (list->kind != YamlNode::Kind::list)
        throw Refused{list->mark, "'" + key + "' must be a list of rules, not " + std::string(kind_name(list->kind))};
    marks[key] = list->mark;
    for (std::size_t i = 0; i < list->items.size(); ++i) {
        const YamlNode& node = list->items[i];
        const std::string path = key + "[" + std::to_string(i) + "]";
        if (node.kind != YamlNode::Kind::map)
            throw Refused{node.mark, "'" + path + "' must be a map such as {groups: [sales]}, not " +
                                         std::string(kind_name(node.kind))};
        marks[path] = node.mark;
        check_keys(node, "a rule", keys);
        auto& rule = *out.Add();
        read_texts(node, "accounts", path + ".", *rule.mutable_accounts(), marks);
        read_texts(node, "groups", path + ".", *rule.mutable_groups(), marks);
        read_texts(node, "departments", path + ".", *rule.mutable_departments(), marks);
        read_roles(node, path + ".", rule, marks);
        read_texts(node, "networks", path + ".", *rule.mutable_networks(), marks);
        read_texts(node, "times", path + ".", *rule.mutable_times(), marks);
        read_devices(node, path + ".", rule, marks);
        read_texts(node, "posture", path + ".", *rule.mutable_posture(), marks);
        if (const YamlNode* within = find(node, "mfa_within")) {
            marks[path + ".mfa_within"] = within->mark;
            rule.set_mfa_within(text_of(*within, path + ".mfa_within"));
        }
    }
}

bool truth_of(const YamlNode& node, const std::string& key) {
    const std::string& text = text_of(node, key);
    if (text == "true") return true;
    if (text == "false") return false;
    throw Refused{node.mark, "'" + key + "' must be true or false, not " + in_quotes(text)};
}

void read_expectation(const YamlNode& node, const std::string& path, usher::v1::Expectation& expected, Marks& marks) {
    static constexpr std::array<std::string_view, 8> keys{"account",           "app",    "from",   "at", "allow",
                                                          "second_factor_age", "device", "posture"};
    if (node.kind != YamlNode::Kind::map)
        throw Refused{node.mark, "'" + path + "' must be a map such as {account: alice, app: crm, allow: true}, not " +
                                     std::string(kind_name(node.kind))};
    marks[path] = node.mark;
    check_keys(node, "an expectation", keys);
    for (const std::string_view key : {"account", "app", "allow"})
        if (find(node, key) == nullptr) throw Refused{node.mark, "'" + std::string(key) + "' is missing in " + path};
    for (const auto& [key, value] : node.pairs) {
        const std::string item = path + "." + key.text;
        marks[key.text == "from" ? path + ".client_ip" : item] = value.mark;
        if (key.text == "allow") {
            expected.set_allow(truth_of(value, item));
            continue;
        }
        if (key.text == "posture") {
            read_texts(node, "posture", path + ".", *expected.mutable_posture(), marks);
            continue;
        }
        const std::string& text = text_of(value, item);
        if (key.text == "account") expected.set_account(text);
        if (key.text == "app") expected.set_app(text);
        if (key.text == "from") expected.set_client_ip(text);
        if (key.text == "device") expected.set_device(device_state_of(text, value.mark));
        if (key.text == "second_factor_age") expected.set_second_factor_age(text);
        if (key.text != "at") continue;
        const auto time = base::parse_rfc3339(text);
        if (!time) throw Refused{value.mark, "'" + item + "' must be a time such as 2026-11-23T10:00:00Z"};
        *expected.mutable_at() = to_timestamp(*time);
    }
}

/// A list, or one map for a list of one.
void read_expectations(const YamlNode& map, google::protobuf::RepeatedPtrField<usher::v1::Expectation>& out,
                       Marks& marks) {
    const YamlNode* node = find(map, "expect");
    if (node == nullptr) return;
    marks["expect"] = node->mark;
    if (node->kind != YamlNode::Kind::list) return read_expectation(*node, "expect[0]", *out.Add(), marks);
    for (std::size_t i = 0; i < node->items.size(); ++i)
        read_expectation(node->items[i], "expect[" + std::to_string(i) + "]", *out.Add(), marks);
}

google::protobuf::Timestamp time_of(const YamlNode& node, const std::string& key) {
    const auto time = base::parse_rfc3339(text_of(node, key));
    if (!time) throw Refused{node.mark, "'" + key + "' must be a time such as 2026-11-23T10:00:00Z"};
    return to_timestamp(*time);
}

std::int64_t days_of(const YamlNode& node, const std::string& key) {
    const auto days = base::parse_unsigned(text_of(node, key), INT32_MAX);
    if (!days) throw Refused{node.mark, "'" + key + "' must be a whole number of days"};
    return static_cast<std::int64_t>(*days);
}

void read_retention_class(const YamlNode& document, usher::v1::RetentionClass& out, Marks& marks) {
    for (const auto& [key, value] : document.pairs) {
        marks[key.text] = value.mark;
        if (key.text == "name") out.set_name(text_of(value, key.text));
        if (key.text == "min_days") out.set_min_days(days_of(value, key.text));
        if (key.text == "max_days") out.set_max_days(days_of(value, key.text));
    }
}

void read_hold(const YamlNode& document, usher::v1::Hold& out, Marks& marks) {
    for (const auto& [key, value] : document.pairs) {
        marks[key.text] = value.mark;
        if (key.text == "name") out.set_name(text_of(value, key.text));
        if (key.text == "case") out.set_case_id(text_of(value, key.text));
        if (key.text == "account") out.set_account(text_of(value, key.text));
        if (key.text == "app") out.set_app(text_of(value, key.text));
        if (key.text == "from") *out.mutable_from() = time_of(value, key.text);
        if (key.text == "until") *out.mutable_until() = time_of(value, key.text);
    }
}

void read_department(const YamlNode& document, usher::v1::Department& out, Marks& marks) {
    for (const auto& [key, value] : document.pairs) {
        marks[key.text] = value.mark;
        if (key.text == "code") out.set_code(text_of(value, key.text));
        if (key.text == "name") out.set_name(text_of(value, key.text));
        if (key.text == "parent") out.set_parent(text_of(value, key.text));
    }
    if (out.code().empty()) throw Refused{document.mark, "'code' is missing in department"};
}

void read_resource(const YamlNode& document, usher::v1::Resource& resource, Marks& marks) {
    static constexpr std::array<std::string_view, 5> app_keys{"kind", "name", "destinations", "allow_addresses",
                                                              "on_control_loss"};
    static constexpr std::array<std::string_view, 6> policy_keys{"kind", "name", "apps", "allow", "deny", "expect"};
    static constexpr std::array<std::string_view, 4> class_keys{"kind", "name", "min_days", "max_days"};
    static constexpr std::array<std::string_view, 7> hold_keys{"kind", "name", "case", "account",
                                                               "app",  "from", "until"};
    static constexpr std::array<std::string_view, 4> department_keys{"kind", "code", "name", "parent"};
    static constexpr std::array<std::string_view, 5> kinds{"app", "policy", "department", "retention_class", "hold"};
    if (document.kind != YamlNode::Kind::map)
        throw Refused{document.mark,
                      "a resource is a map with 'kind' and 'name', not " + std::string(kind_name(document.kind))};
    marks[""] = document.mark;
    const YamlNode* kind = find(document, "kind");
    if (kind == nullptr)
        throw Refused{document.mark, "'kind' is missing: app, policy, department, retention_class or hold"};
    const std::string& kind_text = text_of(*kind, "kind");
    if (kind_text == "app")
        check_keys(document, "app", app_keys);
    else if (kind_text == "policy")
        check_keys(document, "policy", policy_keys);
    else if (kind_text == "department")
        check_keys(document, "department", department_keys);
    else if (kind_text == "retention_class")
        check_keys(document, "retention_class", class_keys);
    else if (kind_text == "hold")
        check_keys(document, "hold", hold_keys);
    else {
        std::string what =
            "unknown kind " + in_quotes(kind_text) + "; kinds are app, policy, department, retention_class and hold";
        if (const auto near = base::closest(kind_text, kinds)) what += "; did you mean '" + std::string(*near) + "'?";
        throw Refused{kind->mark, what};
    }
    if (kind_text == "department") return read_department(document, *resource.mutable_department(), marks);
    const YamlNode* name = find(document, "name");
    if (name == nullptr) throw Refused{document.mark, "'name' is missing in " + kind_text};
    marks["name"] = name->mark;
    if (kind_text == "app") {
        auto& app = *resource.mutable_app();
        app.set_name(text_of(*name, "name"));
        read_texts(document, "destinations", "", *app.mutable_destinations(), marks);
        read_texts(document, "allow_addresses", "", *app.mutable_allow_addresses(), marks);
        if (const YamlNode* loss = find(document, "on_control_loss")) {
            marks["on_control_loss"] = loss->mark;
            app.set_on_control_loss(text_of(*loss, "on_control_loss"));
        }
    } else if (kind_text == "retention_class") {
        read_retention_class(document, *resource.mutable_retention_class(), marks);
    } else if (kind_text == "hold") {
        read_hold(document, *resource.mutable_hold(), marks);
    } else {
        auto& policy = *resource.mutable_policy();
        policy.set_name(text_of(*name, "name"));
        read_texts(document, "apps", "", *policy.mutable_apps(), marks);
        read_rules(document, "allow", *policy.mutable_allow(), marks);
        read_rules(document, "deny", *policy.mutable_deny(), marks);
        read_expectations(document, *policy.mutable_expect(), marks);
    }
}

/// The place of `path`, or of the nearest thing around it that has one.
SourceMark nearest(const Marks& marks, std::string path) {
    while (true) {
        if (const auto found = marks.find(path); found != marks.end()) return found->second;
        const auto cut = path.find_last_of(".[");
        path = cut == std::string::npos ? std::string{} : path.substr(0, cut);
        if (path.empty()) return marks.at("");
    }
}

}  // namespace

Result<ResourceFile> parse_resource_file(std::string_view text, std::string file) {
    auto documents = parse_yaml(text, file, resource_file_limit_bytes);
    if (!documents) return std::move(documents).error();
    ResourceFile result;
    result.file = std::move(file);
    try {
        for (const auto& document : *documents) {
            if (result.marks.size() == resource_count_limit)
                throw Refused{document.mark, "more than 1000 resources; split the file"};
            read_resource(document, *result.request.add_resources(), result.marks.emplace_back());
        }
    } catch (const Refused& refused) {
        return {Errc::invalid_argument, at_mark(result.file, refused.mark, refused.what)};
    }
    if (result.marks.empty())
        return {Errc::invalid_argument, base::escape_for_terminal(result.file) + ": there is no resource in it"};
    return result;
}

std::string ResourceFile::locate(std::string_view server_message) const {
    const std::string whole = base::escape_for_terminal(server_message);
    constexpr std::string_view head = "resources[";
    if (!server_message.starts_with(head)) return whole;
    const auto close = server_message.find(']');
    if (close == std::string_view::npos) return whole;
    const auto index =
        base::parse_unsigned(server_message.substr(head.size(), close - head.size()), resource_count_limit);
    if (!index || *index >= marks.size()) return whole;
    std::string_view rest = server_message.substr(close + 1);
    const auto colon = rest.find(": ");
    if (colon == std::string_view::npos) return whole;
    std::string_view path = rest.substr(0, colon);
    if (path.starts_with('.')) path.remove_prefix(1);
    for (const std::string_view wrapper : {"app.", "policy."})
        if (path.starts_with(wrapper)) path.remove_prefix(wrapper.size());
    const auto why = base::escape_for_terminal(rest.substr(colon + 2));
    return at_mark(file, nearest(marks[*index], std::string(path)),
                   path.empty() ? why : base::escape_for_terminal(path) + ": " + why);
}

}  // namespace usher::clients::control
