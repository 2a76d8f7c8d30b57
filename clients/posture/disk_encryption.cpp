#include "clients/posture/disk_encryption.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.hpp"

namespace usher::clients {

namespace {

constexpr std::size_t mountinfo_limit_bytes = 1024 * 1024;
constexpr int depth_limit = 16, devices_limit = 256;

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (!line.empty()) {
        const auto end = std::min(line.find(' '), line.size());
        words.push_back(line.substr(0, end));
        line.remove_prefix(std::min(end + 1, line.size()));
    }
    return words;
}

bool is_device_number(std::string_view text) {
    constexpr std::uint64_t major_limit = 4095, minor_limit = 1'048'575;  // 12 and 20 bits, linux/kdev_t.h
    const auto colon = text.find(':');
    return colon != std::string_view::npos && base::parse_unsigned(text.substr(0, colon), major_limit) &&
           base::parse_unsigned(text.substr(colon + 1), minor_limit);
}

/// A name that becomes part of a path.
bool is_plain_name(std::string_view name) {
    return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
           name.find('/') == std::string_view::npos;
}

enum class Layer { encrypts, passes_on, unknown };

/// What cryptsetup calls its devices: "CRYPT-LUKS2-<uuid>-<name>". Verity and integrity check and hide nothing.
Layer layer_of(std::string_view dm_uuid) {
    static constexpr std::array<std::string_view, 7> encrypting{"LUKS1", "LUKS2",   "PLAIN",  "TCRYPT",
                                                                "BITLK", "FVAULT2", "LOOPAES"};
    static constexpr std::array<std::string_view, 3> checking{"VERITY", "INTEGRITY", "SUBDEV"};
    static constexpr std::string_view prefix = "CRYPT-";
    if (!dm_uuid.starts_with(prefix)) return Layer::passes_on;
    dm_uuid.remove_prefix(prefix.size());
    const auto kind = dm_uuid.substr(0, dm_uuid.find('-'));
    if (std::find(encrypting.begin(), encrypting.end(), kind) != encrypting.end()) return Layer::encrypts;
    return std::find(checking.begin(), checking.end(), kind) != checking.end() ? Layer::passes_on : Layer::unknown;
}

class Walk {
public:
    explicit Walk(const SystemTree& tree) : tree_(tree) {}

    std::optional<bool> device(const std::string& at, int depth = 0) {
        if (depth > depth_limit || ++devices_ > devices_limit || !tree_.exists(at + "/dev")) return std::nullopt;
        const Layer layer = layer_of(tree_.line(at + "/dm/uuid"));
        if (layer == Layer::encrypts) return true;
        if (layer == Layer::unknown) return std::nullopt;
        const auto slaves = tree_.list(at + "/slaves");
        if (!slaves) return std::nullopt;
        if (!slaves->empty()) {
            std::vector<std::string> below;
            for (const auto& name : *slaves) below.push_back(at + "/slaves/" + name);
            return all(below, depth + 1);
        }
        // A partition's folder is in that of its disk; the link is followed before the "..".
        if (tree_.exists(at + "/partition")) return device(at + "/..", depth + 1);
        // Only what has hardware behind it is known to be the end of the way.
        return tree_.exists(at + "/device") ? std::optional<bool>(false) : std::nullopt;
    }

    /// Some of the data is in the clear as soon as one of them is.
    std::optional<bool> all(const std::vector<std::string>& places, int depth = 0) {
        bool known = !places.empty();
        for (const auto& at : places) {
            const auto encrypted = device(at, depth);
            if (encrypted && !*encrypted) return false;
            known = known && encrypted;
        }
        return known ? std::optional<bool>(true) : std::nullopt;
    }

private:
    const SystemTree& tree_;
    int devices_ = 0;
};

/// "sda2" or "dm-0" for "/dev/sda2" or "/dev/mapper/root"; empty where it is not known.
std::string block_name(const SystemTree& tree, std::string_view source) {
    static constexpr std::string_view devices = "/dev/", mapped = "/dev/mapper/";
    if (source.starts_with(mapped)) {
        const auto wanted = source.substr(mapped.size());
        for (const auto& name : tree.list("/sys/class/block").value_or(std::vector<std::string>{}))
            if (name.starts_with("dm-") && tree.line("/sys/class/block/" + name + "/dm/name") == wanted) return name;
        return {};
    }
    if (!source.starts_with(devices)) return {};
    const auto name = source.substr(devices.size());
    return is_plain_name(name) ? std::string(name) : std::string{};
}

/// A btrfs may lie on several devices, of which a mount shows one.
std::vector<std::string> btrfs_devices(const SystemTree& tree, const std::string& one) {
    for (const auto& uuid : tree.list("/sys/fs/btrfs").value_or(std::vector<std::string>{})) {
        const auto names = tree.list("/sys/fs/btrfs/" + uuid + "/devices").value_or(std::vector<std::string>{});
        if (std::find(names.begin(), names.end(), one) == names.end()) continue;
        std::vector<std::string> places;
        for (const auto& name : names) places.push_back("/sys/class/block/" + name);
        return places;
    }
    return {};
}

}  // namespace

std::optional<RootMount> root_mount(std::string_view mountinfo) {
    std::optional<RootMount> found;
    while (!mountinfo.empty()) {
        const auto words = words_of(base::take_until(mountinfo, '\n'));
        // id parent device root mount-point options [fields...] - type source options; a later one hides what it is
        // mounted on.
        if (words.size() < 5 || words[4] != "/") continue;
        const auto dash = std::find(words.begin() + 5, words.end(), "-");
        found.reset();
        if (words.end() - dash < 3 || !is_device_number(words[2])) continue;
        found = RootMount{std::string(words[2]), std::string(dash[1]), std::string(dash[2])};
    }
    return found;
}

std::optional<bool> disk_encrypted(const SystemTree& tree) {
    const auto mountinfo = tree.read("/proc/self/mountinfo", mountinfo_limit_bytes);
    const auto root = mountinfo ? root_mount(*mountinfo) : std::nullopt;
    if (!root) return std::nullopt;
    Walk walk(tree);
    if (!root->device.starts_with("0:")) return walk.device("/sys/dev/block/" + root->device);
    if (root->type != "btrfs") return std::nullopt;
    const std::string name = block_name(tree, root->source);
    return name.empty() ? std::nullopt : walk.all(btrfs_devices(tree, name));
}

}  // namespace usher::clients
