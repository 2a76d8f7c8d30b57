#include "clients/usherctl/settings.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/text.hpp"
#include "clients/common/private_file.hpp"
#include "clients/common/program.hpp"
#include "clients/common/yaml_tree.hpp"
#include "clients/usherctl/resource_file.hpp"

namespace usher::clients::control {

using base::Errc;
using base::Result;

namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string{} : std::string(value);
}

}  // namespace

std::string config_file() { return must(config_directory("usherctl")) + "/config.yaml"; }
std::string session_file() { return must(config_directory("usherctl")) + "/session"; }

Result<Settings> parse_config(std::string_view text, std::string_view file) {
    static constexpr std::array<std::string_view, 3> keys{"socket", "gateway", "ca"};
    auto documents = parse_yaml(text, file, 64 * 1024);
    if (!documents) return std::move(documents).error();
    Settings settings;
    if (documents->empty()) return settings;
    const YamlNode& root = documents->front();
    if (documents->size() > 1)
        return {Errc::invalid_argument, at_mark(file, (*documents)[1].mark, "one document is enough")};
    if (root.kind != YamlNode::Kind::map)
        return {Errc::invalid_argument, at_mark(file, root.mark, "a map of socket, gateway and ca was expected")};
    for (const auto& [key, value] : root.pairs) {
        if (std::find(keys.begin(), keys.end(), key.text) == keys.end()) {
            std::string what = "unknown key '" + base::escape_for_terminal(key.text, 60) + "'";
            if (const auto near = base::closest(key.text, keys)) what += "; did you mean '" + std::string(*near) + "'?";
            return {Errc::invalid_argument, at_mark(file, key.mark, what)};
        }
        if (value.kind != YamlNode::Kind::text)
            return {Errc::invalid_argument,
                    at_mark(file, value.mark,
                            "'" + key.text + "' must be text, not " + std::string(kind_name(value.kind)))};
        (key.text == "socket"    ? settings.socket
         : key.text == "gateway" ? settings.gateway
                                 : settings.ca_file) = value.text;
    }
    if (!settings.socket.empty() && !settings.gateway.empty())
        return {Errc::invalid_argument, at_mark(file, root.mark, "both socket and gateway are named; keep one")};
    return settings;
}

std::string encode_config(const Settings& settings) {
    std::string text = "# Written by usherctl login; read when neither an option nor the environment says otherwise.\n";
    if (!settings.socket.empty()) text += "socket: " + yaml_quote(settings.socket) + "\n";
    if (!settings.gateway.empty()) text += "gateway: " + yaml_quote(settings.gateway) + "\n";
    if (!settings.ca_file.empty()) text += "ca: " + yaml_quote(settings.ca_file) + "\n";
    return text;
}

Settings resolve_settings(const Settings& command_line) {
    Settings result = command_line;
    if (!result.socket.empty() && !result.gateway.empty())
        throw Failure{"--socket and --gateway exclude each other", exit_usage};
    const bool chosen = !result.empty();
    if (!chosen) {
        result.socket = environment("USHERCTL_SOCKET");
        result.gateway = environment("USHERCTL_GATEWAY");
        if (!result.socket.empty() && !result.gateway.empty())
            throw Failure{"USHERCTL_SOCKET and USHERCTL_GATEWAY are both set; unset one", exit_usage};
    }
    if (result.ca_file.empty()) result.ca_file = environment("USHERCTL_CA");
    if (result.empty() || (!result.gateway.empty() && result.ca_file.empty())) {
        const std::string path = config_file();
        if (const auto text = must(read_private_file(path, false))) {
            const Settings kept = must(parse_config(*text, path));
            if (result.empty()) {
                result.socket = kept.socket;
                result.gateway = kept.gateway;
            }
            // The CA of one gateway says nothing about another.
            if (result.ca_file.empty() && result.gateway == kept.gateway) result.ca_file = kept.ca_file;
        }
    }
    if (result.empty())
        throw Failure{
            "which gateway? On its machine say --socket DATA_DIR/control.sock; from elsewhere sign in with: usherctl "
            "login "
            "--gateway HOST:PORT --username NAME",
            exit_usage};
    return result;
}

}  // namespace usher::clients::control
