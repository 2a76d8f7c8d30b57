#include "clients/posture/device_claims.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "clients/common/private_file.hpp"
#include "clients/posture/system_facts.hpp"

namespace usher::clients {

namespace {

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string os_name(const SystemTree& tree) {
    if (auto name = pretty_os_name(os_release(tree)); !name.empty()) return name;
    utsname system{};
    if (::uname(&system) != 0) return {};
    return std::string(system.sysname) + " " + system.release;
}

std::string language() {
    for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"})
        if (const char* locale = std::getenv(name); locale != nullptr && *locale != '\0')
            return language_of_locale(locale);
    return {};
}

std::string device_id(const std::string& path) {
    auto kept = read_private_file(path, false);
    if (kept && *kept) {
        std::string_view text = **kept;
        if (text.ends_with('\n')) text.remove_suffix(1);
        if (const auto id = base::Uuid::parse(text)) return id->to_string();
    }
    const std::string made = base::new_uuid(base::SystemClock{}).to_string();
    return write_private_file(path, made + "\n").ok() ? made : std::string{};
}

}  // namespace

std::string language_of_locale(std::string_view locale) {
    std::string text{locale.substr(0, locale.find_first_of(".@"))};
    if (text == "C" || text == "POSIX") return {};
    std::replace(text.begin(), text.end(), '_', '-');
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    });
    return plain && text.size() >= 2 && text.size() <= 35 ? text : std::string{};
}

std::string pretty_os_name(std::string_view os_release) {
    while (!os_release.empty()) {
        const auto end = os_release.find('\n');
        std::string_view line = os_release.substr(0, end);
        os_release = end == std::string_view::npos ? std::string_view{} : os_release.substr(end + 1);
        if (!line.starts_with("PRETTY_NAME=")) continue;
        line.remove_prefix(12);
        if (line.size() >= 2 && (line.front() == '"' || line.front() == '\'') && line.back() == line.front())
            line = line.substr(1, line.size() - 2);
        return std::string(line);
    }
    return {};
}

DeviceClaims device_claims(const SystemTree& tree) {
    DeviceClaims claims;
    claims.name = posture_value(host_name());
    claims.brand = posture_value(tree.line("/sys/class/dmi/id/sys_vendor"));
    claims.model = posture_value(tree.line("/sys/class/dmi/id/product_name"));
    claims.os = posture_value(os_name(tree));
    claims.language = language();
    return claims;
}

DeviceClaims this_device(const std::string& device_id_file) {
    DeviceClaims claims = device_claims(SystemTree());
    claims.device_id = device_id(device_id_file);
    return claims;
}

}  // namespace usher::clients
