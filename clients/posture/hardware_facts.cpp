#include "clients/posture/hardware_facts.hpp"

#include <sys/statvfs.h>

#include "base/text.hpp"

namespace usher::clients {

namespace {

constexpr std::uint64_t gibibyte = 1ULL << 30;
constexpr std::uint64_t energy_limit_uwh = 1'000'000'000;  // 1 kWh; no laptop has as much
constexpr std::uint64_t side_limit_pixels = 65'535;
constexpr std::size_t modes_limit_bytes = 4096;  // one page: sysfs gives no more

struct Mode {
    std::uint64_t width = 0, height = 0;
};

/// "1920x1080", or "1920x1080i" where it is interlaced.
std::optional<Mode> parse_mode(std::string_view text) {
    if (text.ends_with('i')) text.remove_suffix(1);
    const auto cross = text.find('x');
    if (cross == std::string_view::npos) return std::nullopt;
    const auto width = base::parse_unsigned(text.substr(0, cross), side_limit_pixels);
    const auto height = base::parse_unsigned(text.substr(cross + 1), side_limit_pixels);
    if (!width || !height || *width == 0 || *height == 0) return std::nullopt;
    return Mode{*width, *height};
}

}  // namespace

std::optional<Storage> storage(const SystemTree& tree) {
    struct statvfs info {};
    const std::string path = tree.root() + "/";
    if (::statvfs(path.c_str(), &info) != 0 || info.f_frsize == 0 || info.f_blocks == 0) return std::nullopt;
    std::uint64_t bytes = 0, free_bytes = 0;
    if (__builtin_mul_overflow(std::uint64_t{info.f_blocks}, std::uint64_t{info.f_frsize}, &bytes) ||
        __builtin_mul_overflow(std::uint64_t{info.f_bavail}, std::uint64_t{info.f_frsize}, &free_bytes))
        return std::nullopt;
    return Storage{bytes, free_bytes / gibibyte * gibibyte};
}

std::optional<unsigned> battery_percent(const SystemTree& tree) {
    const auto names = tree.list("/sys/class/power_supply");
    if (!names) return std::nullopt;
    std::uint64_t batteries = 0, now = 0, full = 0;
    std::optional<std::uint64_t> capacity;
    bool energy_known = true;
    for (const auto& name : *names) {
        const std::string at = "/sys/class/power_supply/" + name;
        if (tree.line(at + "/type") != "Battery" || tree.line(at + "/scope") == "Device" ||
            tree.line(at + "/present") == "0")
            continue;
        ++batteries;
        capacity = base::parse_unsigned(tree.line(at + "/capacity"), 100);
        const auto energy_now = base::parse_unsigned(tree.line(at + "/energy_now"), energy_limit_uwh);
        const auto energy_full = base::parse_unsigned(tree.line(at + "/energy_full"), energy_limit_uwh);
        energy_known = energy_known && energy_now && energy_full && *energy_now <= *energy_full && *energy_full > 0;
        now += energy_now.value_or(0);
        full += energy_full.value_or(0);
    }
    if (batteries == 0) return std::nullopt;
    if (batteries > 1) capacity = energy_known ? std::optional<std::uint64_t>(now * 100 / full) : std::nullopt;
    if (!capacity) return std::nullopt;
    return static_cast<unsigned>((*capacity + 5) / 10 * 10);
}

std::string screen(const SystemTree& tree) {
    Mode largest;
    for (const auto& name : tree.list("/sys/class/drm").value_or(std::vector<std::string>{})) {
        const std::string at = "/sys/class/drm/" + name;
        if (tree.line(at + "/status") != "connected") continue;
        const auto modes = tree.read(at + "/modes", modes_limit_bytes).value_or("");
        const auto mode = parse_mode(std::string_view(modes).substr(0, modes.find('\n')));
        if (mode && mode->width * mode->height > largest.width * largest.height) largest = *mode;
    }
    if (largest.width == 0) return {};
    return std::to_string(largest.width) + "x" + std::to_string(largest.height);
}

}  // namespace usher::clients
