#include "clients/usherctl/resource_file.hpp"

#include <array>
#include <span>

#include "base/text.hpp"

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

void read_rules(const YamlNode& map, const std::string& key, google::protobuf::RepeatedPtrField<usher::v1::Rule>& out,
                Marks& marks) {
    static constexpr std::array<std::string_view, 3> keys{"accounts", "groups", "departments"};
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
    }
}

void read_resource(const YamlNode& document, usher::v1::Resource& resource, Marks& marks) {
    static constexpr std::array<std::string_view, 4> app_keys{"kind", "name", "destinations", "allow_addresses"};
    static constexpr std::array<std::string_view, 5> policy_keys{"kind", "name", "apps", "allow", "deny"};
    static constexpr std::array<std::string_view, 2> kinds{"app", "policy"};
    if (document.kind != YamlNode::Kind::map)
        throw Refused{document.mark,
                      "a resource is a map with 'kind' and 'name', not " + std::string(kind_name(document.kind))};
    marks[""] = document.mark;
    const YamlNode* kind = find(document, "kind");
    if (kind == nullptr) throw Refused{document.mark, "'kind' is missing: app or policy"};
    const std::string& kind_text = text_of(*kind, "kind");
    if (kind_text == "app")
        check_keys(document, "app", app_keys);
    else if (kind_text == "policy")
        check_keys(document, "policy", policy_keys);
    else {
        std::string what = "unknown kind " + in_quotes(kind_text) + "; kinds are app and policy";
        if (const auto near = base::closest(kind_text, kinds)) what += "; did you mean '" + std::string(*near) + "'?";
        throw Refused{kind->mark, what};
    }
    const YamlNode* name = find(document, "name");
    if (name == nullptr) throw Refused{document.mark, "'name' is missing in " + kind_text};
    marks["name"] = name->mark;
    if (kind_text == "app") {
        auto& app = *resource.mutable_app();
        app.set_name(text_of(*name, "name"));
        read_texts(document, "destinations", "", *app.mutable_destinations(), marks);
        read_texts(document, "allow_addresses", "", *app.mutable_allow_addresses(), marks);
    } else {
        auto& policy = *resource.mutable_policy();
        policy.set_name(text_of(*name, "name"));
        read_texts(document, "apps", "", *policy.mutable_apps(), marks);
        read_rules(document, "allow", *policy.mutable_allow(), marks);
        read_rules(document, "deny", *policy.mutable_deny(), marks);
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

std::string flow_list(const Texts& texts) {
    std::string out = "[";
    for (const auto& text : texts) {
        if (out.size() > 1) out += ", ";
        out += yaml_quote(text);
    }
    return out + "]";
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
        out += "  - {" + fields + "}\n";
    }
    return out;
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
    return out;
}

std::string to_yaml(const usher::v1::Policy& policy) {
    return "---\nkind: policy\nname: " + yaml_quote(policy.name()) + "\napps: " + flow_list(policy.apps()) + "\n" +
           rules_yaml("allow", policy.allow()) + rules_yaml("deny", policy.deny());
}

}  // namespace usher::clients::control
