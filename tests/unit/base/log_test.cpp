#include "base/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "base/text.hpp"
#include "catch.hpp"

using namespace usher::base;
using namespace std::string_literals;

namespace {

constexpr UtcTime kTime = from_micros(1'795'429'230'123'456);

struct Folder {
    std::filesystem::path path;
    Folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "usher_log_XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~Folder() {
        (void)configure_log({});  // back to standard error, which always opens
        std::filesystem::remove_all(path);
    }
};

std::vector<std::string> lines_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

}  // namespace

TEST_CASE("a text line has time, level, message and escaped fields") {
    CHECK(format_log_line(LogFormat::text, kTime, LogLevel::info, "listening",
                          {{"address", "127.0.0.1:8443"}, {"workers", 2}, {"tls", true}}) ==
          "2026-11-23T10:20:30.123456Z INFO  listening address=127.0.0.1:8443 workers=2 tls=true");
    CHECK(format_log_line(LogFormat::text, kTime, LogLevel::error, "m",
                          {{"a", "two words"}, {"b", ""}, {"c", "x=\"y\""}, {"d", "back\\slash"}}) ==
          "2026-11-23T10:20:30.123456Z ERROR m a=\"two words\" b=\"\" c=\"x=\\\"y\\\"\" d=back\\x5cslash");
}

TEST_CASE("a JSON line has flat keys, numbers bare and text quoted") {
    CHECK(
        format_log_line(LogFormat::json, kTime, LogLevel::warning, "disk almost full",
                        {{"bytes", -5}, {"share", 0.5}, {"ok", false}, {"path", "/a\"b"}, {"level", "x"}}) ==
        "{\"time\":\"2026-11-23T10:20:30.123456Z\",\"level\":\"warning\",\"message\":\"disk almost full\",\"bytes\":-5,"
        "\"share\":\"0.500000\",\"ok\":false,\"path\":\"/a\\\"b\",\"level_\":\"x\"}");
}

TEST_CASE("hostile bytes in keys and values neither end a line nor forge a field") {
    const std::string hostile =
        "x\r\n2026-11-23T10:20:30.123456Z ERROR forged\x1b[2J\0\x85\xe2\x80\xa8 admin=true\", \"a\":\"b"s;
    for (const LogFormat format : {LogFormat::text, LogFormat::json}) {
        const std::string line = format_log_line(format, kTime, LogLevel::info, hostile, {{hostile, hostile}});
        CHECK(is_utf8(line));
        for (const char c : line) CHECK(static_cast<unsigned char>(c) >= 0x20);
        CHECK(line.find("\xe2\x80\xa8") == std::string::npos);
    }
    CHECK(format_log_line(LogFormat::text, kTime, LogLevel::info, "m", {{"k", "v admin=true"}})
              .ends_with("k=\"v admin=true\""));
    CHECK(format_log_line(LogFormat::text, kTime, LogLevel::info, "m", {{"k", "\" admin=true x=\""}})
              .ends_with("k=\"\\\" admin=true x=\\\"\""));
}

TEST_CASE("a log line is bounded") {
    const std::string huge(1'000'000, '\x01');
    const std::string wide = [] {
        std::string s;
        for (int i = 0; i < 1000; ++i) s += "\xe2\x82\xac";
        return s;
    }();
    for (const LogFormat format : {LogFormat::text, LogFormat::json}) {
        CHECK(format_log_line(format, kTime, LogLevel::info, huge, {{huge, huge}}).size() < 15'000);
        const std::string line = format_log_line(format, kTime, LogLevel::info, "m", {{"k", wide}});
        CHECK(line.size() < 1'200);
        CHECK(line.find("\xef\xbf\xbd") == std::string::npos);
        CHECK(line.find("...") != std::string::npos);
    }
}

TEST_CASE("the log goes to its file, above its level, and moves on when it is opened again") {
    const Folder folder;
    const auto file = folder.path / "usherd.log";
    REQUIRE(configure_log({LogLevel::info, LogFormat::text, file.string()}).ok());
    log_debug("not shown");
    log_info("first", {{"n", 1}});
    auto lines = lines_of(file);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].ends_with(" INFO  first n=1"));
    struct stat info {};
    REQUIRE(::stat(file.c_str(), &info) == 0);
    CHECK((info.st_mode & 0137) == 0);  // at most 0640

    std::filesystem::rename(file, folder.path / "usherd.log.1");
    REQUIRE(configure_log({LogLevel::debug, LogFormat::json, file.string()}).ok());
    log_debug("second");
    lines = lines_of(file);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].ends_with("\"level\":\"debug\",\"message\":\"second\"}"));
    CHECK(lines_of(folder.path / "usherd.log.1").size() == 1);
}

TEST_CASE("a log that cannot be opened is said, and the old one goes on") {
    const Folder folder;
    const auto file = folder.path / "usherd.log";
    REQUIRE(configure_log({LogLevel::info, LogFormat::text, file.string()}).ok());
    const auto missing = folder.path / "missing" / "usherd.log";
    const auto result = configure_log({LogLevel::info, LogFormat::text, missing.string()});
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == Errc::unavailable);
    CHECK(result.error().message.find(missing.string()) != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(missing.parent_path()));
    log_info("still here");
    CHECK(lines_of(file).size() == 1);
}

TEST_CASE("lines of many threads are whole, also while the log is opened again") {
    const Folder folder;
    const auto file = folder.path / "usherd.log";
    const LogOptions options{LogLevel::info, LogFormat::json, file.string()};
    REQUIRE(configure_log(options).ok());
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([t] {
            for (int i = 0; i < 250; ++i) log_info("line", {{"thread", t}, {"text", std::string(200, 'x')}});
        });
    for (int i = 0; i < 20; ++i) CHECK(configure_log(options).ok());
    for (auto& thread : threads) thread.join();
    const auto lines = lines_of(file);
    CHECK(lines.size() == 1000);
    CHECK(std::all_of(lines.begin(), lines.end(), [](const std::string& line) {
        return line.starts_with("{\"time\":\"") && line.ends_with("x\"}");
    }));
}
