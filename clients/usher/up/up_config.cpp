#include "clients/usher/up/up_config.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "clients/common/private_file.hpp"
#include "clients/common/program.hpp"
#include "clients/common/yaml_tree.hpp"

namespace usher::clients::agent {

using base::Errc;
using base::Error;
using base::Result;

namespace {

constexpr std::size_t forwards_limit = 64;

Error at(std::string_view file, const YamlNode& node, std::string_view what) {
    return {Errc::invalid_argument, at_mark(file, node.mark, what)};
}

/// Whoever can reach the address uses the session.
std::string not_loopback(const Endpoint& endpoint) {
    return endpoint.to_string() + " is no loopback address: everybody who reaches it would use your session";
}

Result<ForwardRule> parse_forward(const YamlNode& node, std::string_view file) {
    if (node.kind != YamlNode::Kind::text)
        return at(file, node, "a forward is text, LOCAL=HOST:PORT, not " + std::string(kind_name(node.kind)));
    auto rule = parse_forward_rule(node.text);
    if (!rule) return at(file, node, rule.error().message);
    if (!rule->local.is_loopback_address()) return at(file, node, not_loopback(rule->local));
    return rule;
}

}  // namespace

std::string up_config_file() { return must(config_directory("usher")) + "/up.yaml"; }

Result<UpConfig> parse_up_config(std::string_view text, std::string_view file) {
    static constexpr std::array<std::string_view, 2> keys{"socks", "forwards"};
    auto documents = parse_yaml(text, file, 64 * 1024);
    if (!documents) return std::move(documents).error();
    UpConfig config;
    if (documents->empty()) return config;
    const YamlNode& root = documents->front();
    if (documents->size() > 1) return at(file, (*documents)[1], "one document is enough");
    if (root.kind != YamlNode::Kind::map) return at(file, root, "a map of socks and forwards was expected");
    for (const auto& [key, value] : root.pairs) {
        if (std::find(keys.begin(), keys.end(), key.text) == keys.end()) {
            std::string what = "unknown key '" + base::escape_for_terminal(key.text, 60) + "'";
            if (const auto near = base::closest(key.text, keys)) what += "; did you mean '" + std::string(*near) + "'?";
            return at(file, key, what);
        }
        if (key.text == "socks") {
            if (value.kind != YamlNode::Kind::text)
                return at(file, value, "'socks' is ADDRESS:PORT, not " + std::string(kind_name(value.kind)));
            auto endpoint = parse_endpoint(value.text, true);
            if (!endpoint) return at(file, value, "'socks': " + endpoint.error().message);
            if (!endpoint->is_loopback_address()) return at(file, value, "'socks': " + not_loopback(*endpoint));
            config.socks = std::move(*endpoint);
            continue;
        }
        if (value.kind != YamlNode::Kind::list)
            return at(file, value, "'forwards' is a list, not " + std::string(kind_name(value.kind)));
        if (value.items.size() > forwards_limit)
            return at(file, value, "at most " + std::to_string(forwards_limit) + " forwards are possible");
        for (const auto& item : value.items) {
            auto rule = parse_forward(item, file);
            if (!rule) return std::move(rule).error();
            config.forwards.push_back(std::move(*rule));
        }
    }
    return config;
}

}  // namespace usher::clients::agent
