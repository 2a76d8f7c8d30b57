#include "clients/posture/plasma_lock.hpp"

#include "catch.hpp"

using namespace usher::clients;

namespace {

/// What the user's file and the machine's come to; nullptr: there is none.
std::optional<bool> plasma(const char* own, const char* machine = nullptr) {
    std::vector<std::string> texts;
    for (const char* text : {own, machine})
        if (text != nullptr) texts.emplace_back(text);
    return plasma_locks(texts);
}

}  // namespace

TEST_CASE("Plasma locks unless it is set not to", "[posture]") {
    CHECK(plasma(nullptr) == true);
    for (const char* yes : {"[Daemon]\nLockGrace=0\n", "[Daemon]\nAutolock=true\nTimeout=15\n", "[Daemon]\nTimeout=2.5",
                            "[Daemon]\nAutolock=perhaps\n", "[Daemon]\nAutolock=false\nAutolock=true\n",
                            "[Daemon]\nAutolock=false\nAutolock[$d]\n", "[Daemon]\nAutolock\n"})
        CHECK(plasma(yes) == true);
    for (const char* no : {"[Daemon]\nAutolock=false\n", "[Daemon]\r\n Autolock = Off \r\n", "[Daemon]\nTimeout=0\n",
                           "[Daemon]\nTimeout=-1\n", "[Daemon]\nLock=false\n", "[Daemon]\nRequirePassword=false\n",
                           "[Daemon]\nLockGrace=-1\n", "[Greeter]\n[Daemon]\nAutolock[$e]=no", "[Daemon]\nAutolock=0"})
        CHECK(plasma(no) == false);
    // Other groups and comments are not it.
    CHECK(plasma("Autolock=false\n# Autolock=false\n[Greeter]\nAutolock=false\n[Daemon][Own]\nAutolock=false\n") ==
          true);
    for (const char* neither : {"[Daemon]\nTimeout=soon\n", "[Daemon]\nTimeout=\n", "[Daemon]\nLockGrace=5s\n"})
        CHECK_FALSE(plasma(neither).has_value());
}

TEST_CASE("what the machine says counts where the user's file says nothing, or may not", "[posture]") {
    CHECK(plasma(nullptr, "[Daemon]\nAutolock=false\n") == false);
    CHECK(plasma("[Daemon]\nAutolock=true\n", "[Daemon]\nAutolock=false\n") == true);
    for (const char* firm : {"[Daemon]\nAutolock[$i]=true\n", "[Daemon]\nAutolock[$ie]=true\nAutolock=false\n",
                             "[Daemon][$i]\nAutolock=true\n", "[Daemon][$i]\n[Greeter]\n", "[$i]\n[Greeter]\n"})
        CHECK(plasma("[Daemon]\nAutolock=false\n", firm) == true);
    // A group that is closed is closed for other keys, too; a key is not.
    CHECK(plasma("[Daemon]\nTimeout=0\n", "[Daemon][$i]\nAutolock=true\n") == true);
    CHECK(plasma("[Daemon]\nTimeout=0\n", "[Daemon]\nAutolock[$i]=true\n") == false);
    CHECK(plasma("[Daemon]\nTimeout=0\n", "[Greeter][$i]\nTimeout=5\n") == false);
}
