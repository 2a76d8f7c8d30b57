#include "clients/posture/screen_lock.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "base/text.hpp"
#include "clients/posture/plasma_lock.hpp"

namespace usher::clients {

namespace {

using base::Errc;
using base::Result;
using Known = std::optional<bool>;

constexpr std::size_t settings_limit_bytes = 64 * 1024;
constexpr unsigned looks_that_last = 5;

struct Schemas {
    std::string_view desktop, screensaver, session, lockdown;
    bool starts_when_idle;  ///< whether there is a setting of its own for that
};
constexpr std::array<Schemas, 3> gsettings_desktops{{
    {"GNOME", "org.gnome.desktop.screensaver", "org.gnome.desktop.session", "org.gnome.desktop.lockdown", false},
    {"X-Cinnamon", "org.cinnamon.desktop.screensaver", "org.cinnamon.desktop.session", "org.cinnamon.desktop.lockdown",
     false},
    {"MATE", "org.mate.screensaver", "org.mate.session", "org.mate.lockdown", true},
}};

Known truth(std::string_view text) {
    if (text == "true") return true;
    if (text == "false") return false;
    return std::nullopt;
}

/// Of "uint32 300" or "5": whether it is more than nothing.
Known some(std::string_view text) {
    const auto number =
        base::parse_unsigned(text.substr(text.rfind(' ') + 1), std::numeric_limits<std::uint32_t>::max());
    return number ? Known(*number > 0) : std::nullopt;
}

/// Asks for one setting after the other, until one is not as it has to be.
class Questions {
public:
    explicit Questions(const Desktop& desktop) : desktop_(desktop) {
        if (!desktop.setting) known_.reset();
    }
    Questions& ask(std::string_view schema, std::string_view key, Known (*read)(std::string_view), bool wanted = true) {
        if (failed_ || known_ != true) return *this;
        auto answer = desktop_.setting(schema, key);
        if (!answer && !says_nothing(answer.error())) {
            failed_ = std::move(answer).error();
            return *this;
        }
        known_ = answer ? read(*answer) : std::nullopt;
        if (known_) known_ = *known_ == wanted;
        return *this;
    }
    Result<Known> result() const {
        if (failed_) return *failed_;
        return known_;
    }

private:
    const Desktop& desktop_;
    Known known_ = true;
    std::optional<base::Error> failed_;
};

Result<Known> gsettings_lock(const Desktop& desktop, const Schemas& schemas) {
    Questions questions(desktop);
    questions.ask(schemas.screensaver, "lock-enabled", truth);
    if (schemas.starts_when_idle) questions.ask(schemas.screensaver, "idle-activation-enabled", truth);
    return questions.ask(schemas.session, "idle-delay", some)
        .ask(schemas.lockdown, "disable-lock-screen", truth, false)
        .result();
}

Result<Known> plasma_lock(const SystemTree& tree, const Desktop& desktop) {
    std::vector<std::string> texts;
    for (const auto& directory : desktop.config_directories) {
        const std::string path = directory + "/kscreenlockerrc";
        auto text = tree.read(path, settings_limit_bytes);
        if (!text && tree.exists(path)) return {Errc::unavailable, path + " cannot be read"};
        if (text) texts.push_back(std::move(*text));
    }
    return plasma_locks(texts);
}

bool has_gdm(const SystemTree& tree) {
    return tree.exists("/run/systemd/units/invocation:gdm.service") ||
           tree.exists("/run/systemd/units/invocation:gdm3.service");
}

/// Those that people have on a desktop: of Podman (Toolbx, Distrobox) and Flatpak. Docker's mark is not looked at: what
/// a machine's image is made from may have left it there.
bool in_container(const SystemTree& tree) { return tree.exists("/run/.containerenv") || tree.exists("/.flatpak-info"); }

}  // namespace

Result<Known> screen_lock(const SystemTree& tree, const Desktop& desktop) {
    if (in_container(tree)) return Known{};
    const std::string names = ":" + desktop.names + ":";
    const auto is = [&](std::string_view name) {
        return names.find(":" + std::string(name) + ":") != std::string::npos;
    };
    // They call themselves GNOME as well, and have another lock.
    for (const char* other : {"Budgie", "GNOME-Flashback", "Unity"})
        if (is(other)) return Known{};
    if (is("KDE")) return plasma_lock(tree, desktop);
    for (const auto& schemas : gsettings_desktops) {
        if (!is(schemas.desktop)) continue;
        if (schemas.desktop == "GNOME" && !has_gdm(tree)) return Known{};
        return gsettings_lock(desktop, schemas);
    }
    return Known{};
}

Known ScreenLock::look(const SystemTree& tree, const StopSignal* stop) {
    const auto desktop = finder_(stop);
    const auto known = desktop ? screen_lock(tree, *desktop) : Result<Known>(desktop.error());
    if (known) {
        last_ = *known;
        failed_ = 0;
    } else if (++failed_ > looks_that_last) {
        last_.reset();
    }
    return last_;
}

}  // namespace usher::clients
