#include "clients/posture/system_facts.hpp"

#include <algorithm>

namespace usher::clients {

namespace {

constexpr std::size_t os_release_limit_bytes = 16 * 1024, machine_id_characters = 32, zone_limit_bytes = 64;

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_word(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return is_alphanumeric(c) || std::string_view("._+~-").find(c) != std::string_view::npos;
    });
}

/// As the names of the tz database are: "Etc/GMT+5", "America/Argentina/Buenos_Aires".
std::string zone_name(std::string_view text) {
    const bool fit = !text.empty() && text.size() <= zone_limit_bytes && text.front() != '/' && text.back() != '/' &&
                     std::all_of(text.begin(), text.end(), [](char c) {
                         return is_alphanumeric(c) || std::string_view("/_+-").find(c) != std::string_view::npos;
                     });
    return fit ? std::string(text) : std::string{};
}

}  // namespace

std::string os_release_word(std::string_view text, std::string_view key) {
    std::string found;
    while (!text.empty()) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
        if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != '=') continue;
        line.remove_prefix(key.size() + 1);
        while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
        if (line.size() >= 2 && (line.front() == '"' || line.front() == '\'') && line.back() == line.front())
            line = line.substr(1, line.size() - 2);
        // The file is one of a shell's assignments: the last one counts.
        found = is_word(line) ? posture_value(std::string(line)) : std::string{};
    }
    return found;
}

std::string os_release(const SystemTree& tree) {
    auto text = tree.read("/etc/os-release", os_release_limit_bytes);
    if (!text) text = tree.read("/usr/lib/os-release", os_release_limit_bytes);
    return std::move(text).value_or("");
}

SystemName system_name(const SystemTree& tree) {
    const auto text = os_release(tree);
    return {os_release_word(text, "ID"), os_release_word(text, "VERSION_ID")};
}

std::string machine_id(const SystemTree& tree) {
    std::string id = tree.line("/etc/machine-id");
    const bool fit = id.size() == machine_id_characters && std::all_of(id.begin(), id.end(), [](char c) {
                         return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                     });
    // All zeros is what images are made with; it names no machine.
    if (!fit || id.find_first_not_of('0') == std::string::npos) return {};
    return id;
}

std::string time_zone(const SystemTree& tree) {
    static constexpr std::string_view folder = "/zoneinfo/";
    if (const auto target = tree.link("/etc/localtime")) {
        const auto at = target->find(folder);
        if (at != std::string::npos) return zone_name(std::string_view(*target).substr(at + folder.size()));
    }
    return zone_name(tree.line("/etc/timezone"));
}

}  // namespace usher::clients
