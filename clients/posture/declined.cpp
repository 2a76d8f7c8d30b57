#include "clients/posture/declined.hpp"

#include <array>
#include <vector>

#include "base/text.hpp"
#include "clients/common/private_file.hpp"
#include "clients/common/yaml_tree.hpp"

namespace usher::clients {

using base::Errc;
using base::Error;
using base::Result;

namespace {

constexpr std::size_t settings_limit_bytes = 64 * 1024;

Error at(std::string_view file, const YamlNode& node, std::string_view what) {
    return {Errc::invalid_argument, at_mark(file, node.mark, what)};
}

std::string unknown(std::string_view what, std::string_view word, std::span<const std::string_view> known) {
    std::string text = "unknown " + std::string(what) + " '" + base::escape_for_terminal(word, 60) + "'";
    if (const auto near = base::closest(word, known)) text += "; did you mean '" + std::string(*near) + "'?";
    return text;
}

std::vector<std::string_view> field_names() {
    std::vector<std::string_view> names;
    for (const auto& info : posture_field_infos()) names.push_back(info.name);
    return names;
}

}  // namespace

Result<PostureFields> parse_declined(std::string_view text, std::string_view file) {
    static constexpr std::array<std::string_view, 1> keys{"decline"};
    auto documents = parse_yaml(text, file, settings_limit_bytes);
    if (!documents) return std::move(documents).error();
    PostureFields declined;
    if (documents->empty()) return declined;
    const YamlNode& root = documents->front();
    if (documents->size() > 1) return at(file, (*documents)[1], "one document is enough");
    if (root.kind != YamlNode::Kind::map) return at(file, root, "a map with 'decline' was expected");
    for (const auto& [key, value] : root.pairs) {
        if (key.text != keys[0]) return at(file, key, unknown("key", key.text, keys));
        if (value.kind == YamlNode::Kind::nothing) continue;
        if (value.kind != YamlNode::Kind::list)
            return at(file, value, "'decline' is a list of fields, not " + std::string(kind_name(value.kind)));
        for (const auto& item : value.items) {
            if (item.kind != YamlNode::Kind::text)
                return at(file, item, "a field is its name, not " + std::string(kind_name(item.kind)));
            const auto field = posture_field_named(item.text);
            if (!field) return at(file, item, unknown("field", item.text, field_names()));
            declined.set(index_of(*field));
        }
    }
    return declined;
}

std::string format_declined(const PostureFields& declined) {
    std::string text =
        "# What this device does not say of itself; see: usher posture --help\n"
        "decline:";
    if (declined.none()) return text + " []\n";
    for (const auto& info : posture_field_infos())
        if (declined[index_of(info.field)]) text.append("\n  - ").append(info.name);
    return text + "\n";
}

Result<PostureFields> load_declined(const std::string& path) {
    auto text = read_private_file(path, false);
    if (!text) return std::move(text).error();
    if (!*text) return PostureFields{};
    return parse_declined(**text, base::escape_for_terminal(path));
}

Result<void> save_declined(const std::string& path, const PostureFields& declined) {
    return write_private_file(path, format_declined(declined));
}

void withhold(DeviceClaims& claims, const PostureFields& declined) {
    const auto clear = [&declined](std::string& claim, PostureField field) {
        if (declined[index_of(field)]) claim.clear();
    };
    clear(claims.name, PostureField::device_name);
    clear(claims.brand, PostureField::brand);
    clear(claims.model, PostureField::model);
    clear(claims.os, PostureField::os_name);
    clear(claims.language, PostureField::language);
}

}  // namespace usher::clients
