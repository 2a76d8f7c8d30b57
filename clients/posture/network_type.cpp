#include "clients/posture/network_type.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/text.hpp"

namespace usher::clients {

namespace {

constexpr std::size_t table_limit_bytes = 256 * 1024, fields_limit = 16, uevent_limit_bytes = 4096;
constexpr std::size_t interface_limit_bytes = 15;                  // IFNAMSIZ of linux/if.h, without its end
constexpr std::uint32_t route_up = 0x0001, route_reject = 0x0200;  // RTF_UP, RTF_REJECT of linux/route.h
constexpr std::string_view ethernet = "1";                         // ARPHRD_ETHER of linux/if_arp.h

std::vector<std::string_view> fields_of(std::string_view line) {
    std::vector<std::string_view> fields;
    for (std::size_t at = 0; fields.size() < fields_limit;) {
        at = line.find_first_not_of(" \t", at);
        if (at == std::string_view::npos) break;
        const auto end = std::min(line.find_first_of(" \t", at), line.size());
        fields.push_back(line.substr(at, end - at));
        at = end;
    }
    return fields;
}

std::optional<std::uint32_t> number(std::string_view text, int radix) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, radix);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

bool is_interface(std::string_view name) {
    return !name.empty() && name.size() <= interface_limit_bytes && name != "." && name != ".." &&
           std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != '/'; });
}

struct Best {
    std::string interface;
    std::uint64_t metric = std::numeric_limits<std::uint64_t>::max();

    void offer(std::string_view name, std::optional<std::uint32_t> its_metric, std::optional<std::uint32_t> flags) {
        if (!its_metric || !flags || (*flags & route_up) == 0 || (*flags & route_reject) != 0) return;
        if (*its_metric >= metric || name == "lo" || !is_interface(name)) return;
        interface = name;
        metric = *its_metric;
    }
};

template <class Take>
void each_line(std::string_view text, Take take) {
    while (!text.empty()) take(fields_of(base::take_until(text, '\n')));
}

}  // namespace

std::string default_interface(std::string_view route_table) {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask ...; flags and addresses are hexadecimal (proc(5)).
    Best best;
    each_line(route_table, [&best](const std::vector<std::string_view>& fields) {
        if (fields.size() < 8 || fields[1] != "00000000" || fields[7] != "00000000") return;
        best.offer(fields[0], number(fields[6], 10), number(fields[3], 16));
    });
    return best.interface;
}

std::string default_interface_ipv6(std::string_view route_table) {
    // destination length source length gateway metric references uses flags interface; all hexadecimal.
    Best best;
    each_line(route_table, [&best](const std::vector<std::string_view>& fields) {
        if (fields.size() < 10 || fields[0] != std::string(32, '0') || fields[1] != "00") return;
        best.offer(fields[9], number(fields[5], 16), number(fields[8], 16));
    });
    return best.interface;
}

std::string network_type(const SystemTree& tree) {
    std::string interface = default_interface(tree.read("/proc/net/route", table_limit_bytes).value_or(""));
    if (interface.empty())
        interface = default_interface_ipv6(tree.read("/proc/net/ipv6_route", table_limit_bytes).value_or(""));
    if (interface.empty()) return {};
    const std::string at = "/sys/class/net/" + interface;
    const std::string type = tree.line(at + "/type");
    if (type.empty()) return {};
    if (tree.exists(at + "/wireless") || tree.exists(at + "/phy80211")) return "wireless";
    const std::string about = "\n" + tree.read(at + "/uevent", uevent_limit_bytes).value_or("");
    if (about.find("\nDEVTYPE=wlan\n") != std::string::npos) return "wireless";
    if (about.find("\nDEVTYPE=wwan\n") != std::string::npos) return "cellular";
    // Bridges, pairs of containers and tunnels call themselves Ethernet too, but no hardware is behind them.
    return type == ethernet && tree.exists(at + "/device") ? "wired" : "other";
}

}  // namespace usher::clients
