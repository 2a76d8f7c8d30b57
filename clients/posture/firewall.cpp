#include "clients/posture/firewall.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/text.hpp"

namespace usher::clients {

namespace {

constexpr std::size_t settings_limit_bytes = 64 * 1024, modules_limit_bytes = 512 * 1024;

constexpr std::array<std::string_view, 3> filters{"nf_tables", "ip_tables", "ip6_tables"};

bool runs(const SystemTree& tree, std::string_view service) {
    return tree.exists("/run/systemd/units/invocation:" + std::string(service) + ".service");
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool has_word(std::string_view line, std::string_view word) {
    for (auto at = line.find(word); at != std::string_view::npos; at = line.find(word, at + 1)) {
        const auto end = at + word.size();
        if ((at == 0 || !is_letter(line[at - 1])) && (end == line.size() || !is_letter(line[end]))) return true;
    }
    return false;
}

/// `line` without what stands in quotes: the prefix of a log line may say "drop" where nothing is dropped.
std::string without_text(std::string_view line) {
    std::string out;
    bool quoted = false;
    for (const char c : line) {
        if (c == '"') quoted = !quoted;
        out += quoted ? ' ' : c;
    }
    return out;
}

bool ufw_is_on(const SystemTree& tree) {
    if (!runs(tree, "ufw")) return false;
    const auto text = tree.read("/etc/ufw/ufw.conf", settings_limit_bytes).value_or("");
    bool on = false;
    for (std::string_view rest = text; !rest.empty();) {
        auto line = base::take_until(rest, '\n');
        if (!line.starts_with("ENABLED=")) continue;
        line.remove_prefix(8);
        while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
        on = line == "yes" || line == "\"yes\"";  // the last one counts
    }
    return on;
}

/// The file that Debian installs accepts everything: that it was loaded is no firewall.
bool nftables_filters(const SystemTree& tree) {
    if (!runs(tree, "nftables")) return false;
    for (const std::string_view path : {"/etc/nftables.conf", "/etc/sysconfig/nftables.conf"}) {
        const auto text = tree.read(path, settings_limit_bytes).value_or("");
        for (std::string_view rest = text; !rest.empty();) {
            const auto line = base::take_until(rest, '\n');
            const std::string statement = without_text(line.substr(0, line.find('#')));
            if (has_word(statement, "drop") || has_word(statement, "reject")) return true;
        }
    }
    return false;
}

/// Whether the kernel is known to have no packet filter.
bool no_filter(const SystemTree& tree) {
    const auto loaded = tree.read("/proc/modules", modules_limit_bytes);
    const std::string release = tree.line("/proc/sys/kernel/osrelease");
    if (!loaded || release.empty() || release.find('/') != std::string::npos || release.front() == '.') return false;
    const auto builtin = tree.read("/lib/modules/" + release + "/modules.builtin", modules_limit_bytes);
    if (!builtin || builtin->empty()) return false;
    for (const auto filter : filters) {
        // "nf_tables 348160 0 - Live 0x0" and "kernel/net/netfilter/nf_tables.ko"
        const std::string name(filter);
        if (("\n" + *loaded).find("\n" + name + " ") != std::string::npos) return false;
        if (builtin->find("/" + name + ".ko") != std::string::npos) return false;
    }
    return true;
}

}  // namespace

std::optional<bool> firewall(const SystemTree& tree) {
    if (ufw_is_on(tree) || runs(tree, "firewalld") || nftables_filters(tree)) return true;
    return no_filter(tree) ? std::optional<bool>(false) : std::nullopt;
}

}  // namespace usher::clients
