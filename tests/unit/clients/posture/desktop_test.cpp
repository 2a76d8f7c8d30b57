#include "clients/posture/desktop.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "catch.hpp"

using namespace usher::clients;

TEST_CASE("the service manager's environment tells the desktop", "[posture]") {
    constexpr std::string_view text =
        "LANG=de_DE.UTF-8\nNOT_XDG_CURRENT_DESKTOP=KDE\nXDG_CURRENT_DESKTOP_TOO=KDE\nXDG_CURRENT_DESKTOP=ubuntu:GNOME\n"
        "GIO_MODULE_DIR=/snap\nnot a "
        "variable\nXDG_CONFIG_DIRS=/etc/xdg/xdg-ubuntu:/etc/xdg\nDCONF_PROFILE=\nQUOTED=$'a'";
    CHECK(*desktop_variables(text) ==
          Variables{{"XDG_CURRENT_DESKTOP", "ubuntu:GNOME"}, {"XDG_CONFIG_DIRS", "/etc/xdg/xdg-ubuntu:/etc/xdg"}});
    CHECK(desktop_variables("")->empty());
    // What is in quotes may be another folder than it looks like: then nothing is known.
    for (const char* quoted : {"XDG_CONFIG_HOME=$'/home/a b'", "XDG_CONFIG_HOME=\"/home/a\"", "XDG_CONFIG_HOME='/a'"})
        CHECK_FALSE(desktop_variables("XDG_CURRENT_DESKTOP=KDE\n" + std::string(quoted) + "\n").has_value());
}

TEST_CASE("a program in a desktop's terminal has the desktop in its environment", "[posture]") {
    for (const auto& [name, value] : Variables{{"XDG_CURRENT_DESKTOP", "KDE"},
                                               {"XDG_CONFIG_HOME", "/home/alice/settings"},
                                               {"XDG_CONFIG_DIRS", "/etc/xdg/kde:relative::/etc/xdg"}})
        ::setenv(name.c_str(), value.c_str(), 1);
    ::unsetenv("SYSTEMD_EXEC_PID");
    const auto desktop = find_desktop(nullptr);
    REQUIRE(desktop.ok());
    CHECK(desktop->names == "KDE");
    CHECK(desktop->config_directories == std::vector<std::string>{"/home/alice/settings", "/etc/xdg/kde", "/etc/xdg"});
    const std::string home = ::getenv("HOME");
    ::unsetenv("HOME");
    CHECK(find_desktop(nullptr)->names.empty());
    ::setenv("HOME", home.c_str(), 1);
    // Of a service the manager is asked; there is none that answers, and that is for now.
    ::setenv("SYSTEMD_EXEC_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere", 1);
    ::setenv("XDG_RUNTIME_DIR", "/nowhere", 1);
    if (std::filesystem::exists("/usr/bin/systemctl"))
        CHECK(find_desktop(nullptr).error().code == usher::base::Errc::failed_precondition);
    for (const char* name : {"SYSTEMD_EXEC_PID", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"}) ::unsetenv(name);
    for (const char* name : {"XDG_CURRENT_DESKTOP", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"}) ::unsetenv(name);
}
