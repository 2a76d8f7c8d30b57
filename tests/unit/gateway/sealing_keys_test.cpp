#include "gateway/sealing_keys.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catch.hpp"

using namespace usher;
using gateway::load_sealing_keys;

namespace {

struct Temporary {
    Temporary() {
        char name[] = "/tmp/usher-sealing-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Temporary() { std::filesystem::remove_all(path); }
    std::string file(const std::string& name, const std::string& content, ::mode_t mode = 0600) const {
        const std::string full = path + "/" + name;
        std::ofstream(full) << content;
        ::chmod(full.c_str(), mode);
        return full;
    }
    std::string path;
};

const std::string digits(64, 'a');

}  // namespace

TEST_CASE("without files a key is made for its owner alone, and read again") {
    Temporary t;
    const auto own = t.path + "/keys";
    const auto made = load_sealing_keys({}, own);
    REQUIRE(made.ok());
    struct stat st {};
    REQUIRE(::stat((own + "/sealing.key").c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0600);
    REQUIRE(::stat(own.c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0700);
    const auto again = load_sealing_keys({}, own);
    REQUIRE(again.ok());
    CHECK(again->current_id() == made->current_id());
}

TEST_CASE("the operator's keys are read in their order, and no key is made") {
    Temporary t;
    const auto first = t.file("first", digits + "\n"), second = t.file("second", std::string(64, 'B'));
    const auto keys = load_sealing_keys({first, second}, t.path + "/keys");
    REQUIRE(keys.ok());
    CHECK(keys->current_id() == load_sealing_keys({first}, t.path + "/keys")->current_id());
    CHECK(keys->has(load_sealing_keys({second}, t.path + "/keys")->current_id()));
    CHECK_FALSE(std::filesystem::exists(t.path + "/keys"));
}

TEST_CASE("a file that is no key, or that others may read, is refused by its name and without its content") {
    Temporary t;
    std::filesystem::create_symlink(t.file("real", digits), t.path + "/link");
    const std::string bad[] = {t.file("short", digits.substr(1)),
                               t.file("long", digits + "a"),
                               t.file("lines", digits + "\n\n"),
                               t.file("letters", std::string(63, 'a') + "g"),
                               t.file("empty", ""),
                               t.file("group", digits, 0640),
                               t.path + "/link",
                               t.path + "/absent",
                               t.path};
    for (const auto& path : bad) {
        const auto refused = load_sealing_keys({path}, t.path + "/keys");
        INFO(path);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().message.find(path) != std::string::npos);
        CHECK(refused.error().message.find("aaaaaaaa") == std::string::npos);
    }
    const auto twice = load_sealing_keys({t.path + "/real", t.file("same", digits)}, t.path + "/keys");
    REQUIRE_FALSE(twice.ok());
    CHECK(twice.error().message.find("given twice") != std::string::npos);
}
