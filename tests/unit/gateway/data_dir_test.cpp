#include "gateway/data_dir.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catch.hpp"

using namespace usher;
using gateway::DataDir;

namespace {
struct Temporary {
    Temporary() {
        char name[] = "/tmp/usher-data-dir-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Temporary() { std::filesystem::remove_all(path); }
    std::string path;
};
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("a missing data directory is made for its owner alone") {
    Temporary t;
    const std::string path = t.path + "/data";
    REQUIRE(DataDir::open(path));
    struct stat st {};
    REQUIRE(::stat(path.c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0700);
}

TEST_CASE("a data directory is held by one daemon at a time") {
    Temporary t;
    auto first = DataDir::open(t.path);
    REQUIRE(first);
    auto second = DataDir::open(t.path);
    REQUIRE_FALSE(second);
    CHECK(contains(second.error().message, "in use by another usherd (process " + std::to_string(::getpid()) + ")"));
    first->reset();
    CHECK(DataDir::open(t.path));
}

TEST_CASE("a data directory that others may enter, that is a link, or that is no directory is refused") {
    Temporary t;
    ::chmod(t.path.c_str(), 0750);
    CHECK(contains(DataDir::open(t.path).error().message, "chmod 700"));
    ::chmod(t.path.c_str(), 0700);
    const std::string link = t.path + "/link", file = t.path + "/file";
    std::filesystem::create_directory_symlink(t.path, link);
    CHECK(contains(DataDir::open(link).error().message, "is not a directory"));
    std::ofstream(file) << "x";
    CHECK(contains(DataDir::open(file).error().message, "is not a directory"));
}

TEST_CASE("a data directory of another user is refused") {
    if (::geteuid() != 0) return;  // only root can make one
    Temporary t;
    REQUIRE(::chown(t.path.c_str(), 12345, 12345) == 0);
    CHECK(contains(DataDir::open(t.path).error().message, "belongs to user id 12345, but usherd runs as user id 0"));
}

TEST_CASE("a file is replaced as a whole, with its mode") {
    Temporary t;
    const std::string path = t.path + "/f";
    REQUIRE(gateway::write_file_atomically(path, "one", 0600));
    REQUIRE(gateway::write_file_atomically(path, "two", 0600));
    std::string text;
    std::ifstream(path) >> text;
    CHECK(text == "two");
    struct stat st {};
    REQUIRE(::stat(path.c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0600);
    CHECK_FALSE(std::filesystem::exists(path + ".new"));
    CHECK_FALSE(gateway::write_file_atomically(t.path + "/none/f", "x", 0600));
}
