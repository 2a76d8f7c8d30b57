#include "clients/posture/screen_lock.hpp"

#include <map>
#include <memory>

#include "clients/posture/fixture_tree.hpp"

using namespace usher::clients;
using usher::base::Errc;
using usher::base::Error;
using usher::base::Result;

namespace {

constexpr const char* gdm = "/run/systemd/units/invocation:gdm.service";

/// A desktop whose gsettings says what stands here, "schema key" for each, and nothing else.
class Answers {
public:
    explicit Answers(std::string names) : names_(std::move(names)) { fixture_->link(gdm, "x"); }
    Answers& say(const std::string& key, const std::string& value) {
        values_[key] = value;
        return *this;
    }
    void fail(std::optional<Errc> code) { failure_ = code; }
    Result<std::optional<bool>> look() {
        asked_.clear();
        const auto setting = [this](std::string_view schema, std::string_view key) -> Result<std::string> {
            asked_.push_back(std::string(schema) + " " + std::string(key));
            if (failure_) return Error{*failure_, "as told"};
            const auto found = values_.find(asked_.back());
            if (found == values_.end()) return Error{Errc::failed_precondition, "no such key"};
            return found->second;
        };
        return screen_lock(fixture_->tree(), {names_, {}, setting});
    }
    std::optional<bool> lock() { return *look(); }
    const std::vector<std::string>& asked() const { return asked_; }
    const FixtureTree& fixture() const { return *fixture_; }

private:
    std::unique_ptr<FixtureTree> fixture_ = std::make_unique<FixtureTree>();
    std::string names_;
    std::map<std::string, std::string> values_;
    std::optional<Errc> failure_;
    std::vector<std::string> asked_;
};

Answers locking_gnome(const std::string& names = "ubuntu:GNOME") {
    Answers gnome(names);
    gnome.say("org.gnome.desktop.screensaver lock-enabled", "true");
    gnome.say("org.gnome.desktop.session idle-delay", "uint32 300");
    gnome.say("org.gnome.desktop.lockdown disable-lock-screen", "false");
    return gnome;
}

}  // namespace

TEST_CASE("GNOME locks when the lock, its delay and the administrator have it so", "[posture]") {
    CHECK_FALSE(Answers("GNOME").lock().has_value());
    auto gnome = locking_gnome();
    CHECK(gnome.lock() == true);
    gnome.say("org.gnome.desktop.lockdown disable-lock-screen", "true");
    CHECK(gnome.lock() == false);
    gnome.say("org.gnome.desktop.lockdown disable-lock-screen", "");
    CHECK_FALSE(gnome.lock().has_value());
    gnome.say("org.gnome.desktop.session idle-delay", "uint32 0");
    CHECK(gnome.lock() == false);
    for (const char* other : {"", "uint32", "uint32 -1", "uint32 4294967296", "five"}) {
        gnome.say("org.gnome.desktop.session idle-delay", other);
        CHECK_FALSE(gnome.lock().has_value());
    }
    gnome.say("org.gnome.desktop.screensaver lock-enabled", "false");
    CHECK(gnome.lock() == false);
    CHECK(gnome.asked() == std::vector<std::string>{"org.gnome.desktop.screensaver lock-enabled"});
    for (const char* other : {"", "True", "uint32 1", "'true'"}) {
        gnome.say("org.gnome.desktop.screensaver lock-enabled", other);
        CHECK_FALSE(gnome.lock().has_value());
    }
}

TEST_CASE("what calls itself GNOME and has another lock, or none, is not known", "[posture]") {
    for (const char* names : {"Budgie:GNOME", "GNOME-Flashback:GNOME", "Unity:Unity7:ubuntu:GNOME"})
        CHECK_FALSE(locking_gnome(names).lock().has_value());
    auto without_gdm = locking_gnome();
    std::filesystem::remove(without_gdm.fixture().at(gdm));
    CHECK_FALSE(without_gdm.lock().has_value());
    for (const char* mark : {"/run/.containerenv", "/.flatpak-info"}) {
        auto contained = locking_gnome();
        contained.fixture().file(mark, "");
        CHECK_FALSE(contained.lock().has_value());
    }
}

TEST_CASE("Cinnamon and MATE say it in schemas of their own", "[posture]") {
    Answers cinnamon("X-Cinnamon"), mate("MATE");
    cinnamon.say("org.cinnamon.desktop.screensaver lock-enabled", "true");
    cinnamon.say("org.cinnamon.desktop.session idle-delay", "uint32 900");
    cinnamon.say("org.cinnamon.desktop.lockdown disable-lock-screen", "false");
    CHECK(cinnamon.lock() == true);
    mate.say("org.mate.screensaver lock-enabled", "true").say("org.mate.session idle-delay", "5");
    mate.say("org.mate.lockdown disable-lock-screen", "false");
    CHECK_FALSE(mate.lock().has_value());
    mate.say("org.mate.screensaver idle-activation-enabled", "true");
    CHECK(mate.lock() == true);
    mate.say("org.mate.screensaver idle-activation-enabled", "false");
    CHECK(mate.lock() == false);
}

TEST_CASE("Plasma's settings are read where the desktop has them", "[posture]") {
    const FixtureTree fixture;
    const Desktop plasma{"KDE", {"/home/alice/.config", "/etc/xdg"}, {}};
    CHECK(*screen_lock(fixture.tree(), plasma) == true);
    fixture.file("/etc/xdg/kscreenlockerrc", "[Daemon]\nAutolock=false\n");
    CHECK(*screen_lock(fixture.tree(), plasma) == false);
    fixture.file("/home/alice/.config/kscreenlockerrc", "[Daemon]\nAutolock=true\n");
    CHECK(*screen_lock(fixture.tree(), plasma) == true);
    fixture.file("/home/alice/.config/kscreenlockerrc", "[Daemon]\nAutolock=true\n" + std::string(70'000, '#'));
    CHECK(screen_lock(fixture.tree(), plasma).error().code == Errc::unavailable);
}

TEST_CASE("without a desktop that is known nothing is", "[posture]") {
    const FixtureTree fixture;
    fixture.link(gdm, "x");
    for (const char* names : {"", "XFCE", "sway", "GNOME-Classic", ":", "kde"})
        CHECK_FALSE(screen_lock(fixture.tree(), {names, {"/etc/xdg"}, {}})->has_value());
    CHECK_FALSE(screen_lock(fixture.tree(), {"GNOME", {}, {}})->has_value());
}

TEST_CASE("a desktop that cannot be asked this time is as it was, for a while", "[posture]") {
    auto gnome = locking_gnome();
    for (const Errc code : {Errc::deadline_exceeded, Errc::unavailable, Errc::resource_exhausted}) {
        gnome.fail(code);
        CHECK(gnome.look().error().code == code);
        CHECK(gnome.asked().size() == 1);
    }
    for (const Errc code : {Errc::failed_precondition, Errc::not_found}) {
        gnome.fail(code);
        CHECK_FALSE(gnome.lock().has_value());
    }

    const FixtureTree fixture;
    Result<Desktop> found(Desktop{"KDE", {"/etc/xdg"}, {}});
    ScreenLock lock([&](const StopSignal*) { return found; });
    CHECK(lock.look(fixture.tree(), nullptr) == true);
    found = Error{Errc::deadline_exceeded, "as told"};
    for (int i = 0; i < 5; ++i) CHECK(lock.look(fixture.tree(), nullptr) == true);
    CHECK_FALSE(lock.look(fixture.tree(), nullptr).has_value());
    found = Desktop{"KDE", {"/etc/xdg"}, {}};
    CHECK(lock.look(fixture.tree(), nullptr) == true);
    found = Error{Errc::unavailable, "as told"};
    CHECK(lock.look(fixture.tree(), nullptr) == true);
    found = Desktop{};  // that there is none is an answer
    CHECK_FALSE(lock.look(fixture.tree(), nullptr).has_value());
}
