#include "clients/common/private_file.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "catch.hpp"
#include "clients/common/saved_session.hpp"

using namespace usher::clients;

namespace {

class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string name = std::filesystem::temp_directory_path() / "usher-clients-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~TemporaryDirectory() { std::filesystem::remove_all(path); }
    std::string path;
};

unsigned mode_of(const std::string& path) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    return info.st_mode & 07777;
}

SavedSession a_session() {
    return {{"gate.example", 8443},
            "/etc/ca \"x\".pem",
            "alice",
            "01936b2e-7a40-7c3e-9d55-0242ac120002",
            usher::base::from_micros(1'800'000'000'000'000),
            usher::base::Secret(std::string_view("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"))};
}

}  // namespace

TEST_CASE("a private file is its owner's alone, and so is its directory") {
    const TemporaryDirectory directory;
    const std::string path = directory.path + "/usher/session.json";
    const auto before = ::umask(0);
    REQUIRE(write_private_file(path, "one").ok());
    REQUIRE(write_private_file(path, "two").ok());
    ::umask(before);
    CHECK(mode_of(path) == 0600);
    CHECK(mode_of(directory.path + "/usher") == 0700);
    const auto text = read_private_file(path, true);
    REQUIRE(text.ok());
    CHECK(text->value() == "two");
    // Nothing else is left behind.
    CHECK(std::distance(std::filesystem::directory_iterator(directory.path + "/usher"), {}) == 1);
}

TEST_CASE("a secret that others can read is not read, and the error says how to mend it") {
    const TemporaryDirectory directory;
    const std::string path = directory.path + "/session";
    REQUIRE(write_private_file(path, "x").ok());
    for (const mode_t mode : {0640, 0604, 0660}) {
        REQUIRE(::chmod(path.c_str(), mode) == 0);
        const auto text = read_private_file(path, true);
        REQUIRE_FALSE(text.ok());
        CHECK(text.error().message.find("chmod 600 " + path) != std::string::npos);
        CHECK(read_private_file(path, false).ok());
    }
}

TEST_CASE("a file that is not there is no error, a directory and a huge file are") {
    const TemporaryDirectory directory;
    const auto none = read_private_file(directory.path + "/none", true);
    REQUIRE(none.ok());
    CHECK_FALSE(none->has_value());
    CHECK_FALSE(read_private_file(directory.path, true).ok());
    const std::string path = directory.path + "/huge";
    REQUIRE(write_private_file(path, std::string(70'000, 'x')).ok());
    CHECK_FALSE(read_private_file(path, true).ok());
    CHECK(remove_private_file(path).ok());
    CHECK(remove_private_file(path).ok());
}

TEST_CASE("a session comes back as it was kept") {
    const TemporaryDirectory directory;
    const std::string path = directory.path + "/c/session.json";
    const auto session = a_session();
    REQUIRE(save_session(path, session).ok());
    CHECK(mode_of(path) == 0600);
    const auto again = load_session(path);
    REQUIRE(again.ok());
    REQUIRE(again->has_value());
    const SavedSession& kept = **again;
    CHECK(kept.gateway == session.gateway);
    CHECK(kept.ca_file == session.ca_file);
    CHECK(kept.username == session.username);
    CHECK(kept.expires_at == session.expires_at);
    CHECK(kept.token.equals(session.token.reveal()));
}

TEST_CASE("a session file that is damaged is refused, and its content is not shown") {
    for (const std::string& text :
         {std::string("{}"), std::string("hunter2secret"), std::string("[1]"),
          std::string("{\"gateway\":\"g:1\",\"ca\":\"\",\"username\":\"a\",\"session_id\":\"b\","
                      "\"expires_at\":\"2026-11-23T10:20:30Z\",\"token\":\"hunter2secret\\r\\nX: y\"}")}) {
        const auto session = decode_session(text);
        REQUIRE_FALSE(session.ok());
        CHECK(session.error().message.find("hunter2") == std::string::npos);
    }
}
