#include "clients/usher/up/session_source.hpp"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "catch.hpp"
#include "clients/usher/status_report.hpp"

using namespace std::chrono_literals;
using namespace usher::base;
using namespace usher::clients;
using namespace usher::clients::agent;

namespace {

const UtcTime start = from_micros(1'700'000'000'000'000);

SavedSession session(const std::string& id, UtcTime expires = start + 1h) {
    return {{"gate.example", 8443}, "", "alice", id, expires, Secret(std::string_view("0123456789abcdef"))};
}

struct Folder {
    Folder() {
        char made[] = "/tmp/usher-session-XXXXXX";
        path = ::mkdtemp(made);
        file = path + "/session.json";
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string path, file;
};

}  // namespace

TEST_CASE("the agent follows each sign-in and sign-out by itself") {
    const Folder folder;
    ManualClock clock(start);
    SessionSource source(folder.file, clock);
    CHECK(source.current().error().message == signed_out_words());
    REQUIRE(save_session(folder.file, session("one")).ok());
    auto first = source.current();
    REQUIRE(first.ok());
    CHECK((*first)->session_id == "one");
    CHECK(*source.current() == *first);  // not read again
    REQUIRE(save_session(folder.file, session("two")).ok());
    CHECK((*source.current())->session_id == "two");
    CHECK((*first)->session_id == "one");  // who holds the old one keeps it
    ::unlink(folder.file.c_str());
    CHECK(source.current().error().code == Errc::unauthenticated);
}

TEST_CASE("a session whose time is over is no session, and the words say when and what to do") {
    const Folder folder;
    ManualClock clock(start);
    SessionSource source(folder.file, clock);
    REQUIRE(save_session(folder.file, session("one", start + 1min)).ok());
    CHECK(source.current().ok());
    clock.advance(1min);
    const auto over = source.current();
    REQUIRE_FALSE(over.ok());
    CHECK(over.error().message ==
          "your session ended at its time, 2023-11-14T22:14:20Z; sign in again with: usher login --gateway "
          "gate.example:8443");
}

TEST_CASE("a session's file that others may read is not used") {
    const Folder folder;
    ManualClock clock(start);
    SessionSource source(folder.file, clock);
    REQUIRE(save_session(folder.file, session("one")).ok());
    ::chmod(folder.file.c_str(), 0644);
    CHECK(source.current().error().message.find("chmod 600") != std::string::npos);
}

namespace {
StatusReport report(GatewayWord::Kind kind, const char* reason = nullptr) {
    GatewayWord word{kind, {}, "connection refused"};
    if (reason != nullptr) word.answer["reason"] = reason;
    std::optional<SavedSession> saved(session("one"));
    return report_status(saved, word, start);
}
}  // namespace

TEST_CASE("usher status says in an employee's words why there is no session, and what to do") {
    using State = StatusReport::State;
    CHECK(report(GatewayWord::Kind::valid).state == State::signed_in);
    CHECK(report(GatewayWord::Kind::valid).words.empty());
    CHECK(report_status(std::nullopt, std::nullopt, start).state == State::signed_out);
    CHECK(report_status(session("one", start), std::nullopt, start).state == State::expired);
    const auto away = report(GatewayWord::Kind::unreachable);
    CHECK(away.state == State::unreachable);
    CHECK(away.words.find("gate.example:8443") != std::string::npos);
    CHECK(away.words.find("connection refused") != std::string::npos);
    for (const char* reason : {"signed-out", "revoked", "expired", "displaced", "never-heard-of"}) {
        const auto ended = report(GatewayWord::Kind::over, reason);
        CHECK(ended.state == State::ended);
        CHECK(ended.words.find("usher login --gateway gate.example:8443") != std::string::npos);
    }
    CHECK(report(GatewayWord::Kind::over).words == ended_words("", "gate.example:8443"));
    for (const char* reason : {"account-disabled", "account-deleted"})
        CHECK(report(GatewayWord::Kind::over, reason).words.find("ask your administrator") != std::string::npos);
}

TEST_CASE("usher status shows the agent, or how to start it, and lets nothing escape into the terminal") {
    const std::optional<SavedSession> saved(session("one"));
    const GatewayWord word{GatewayWord::Kind::valid, {{"username", "alice"}, {"open_accesses", 2}}, {}};
    const auto fine = report_status(saved, word, start);
    CHECK(status_table(fine, saved, word, std::nullopt).find("usher up") != std::string::npos);
    CHECK(status_json(fine, saved, word, std::nullopt).at("agent").is_null());
    CHECK(status_json(fine, saved, word, std::nullopt).at("state").as_string() == "signed-in");
    const boost::json::object agent{{"pid", 7},
                                    {"address", "127.0.0.1:1080"},
                                    {"open_tunnels", 3},
                                    {"tunnels", 5},
                                    {"last_error", "\x1b[2J"},
                                    {"forwards", {{{"local", "127.0.0.1:1"}, {"destination", "db:2"}}}}};
    const auto table = status_table(fine, saved, word, agent);
    CHECK(table.find("process 7") != std::string::npos);
    CHECK(table.find("3 open, 5 in all") != std::string::npos);
    CHECK(table.find("127.0.0.1:1 to db:2") != std::string::npos);
    CHECK(table.find('\x1b') == std::string::npos);
    CHECK(table.find("device key") == std::string::npos);
    CHECK(status_json(fine, saved, word, agent).at("device_key").is_null());
    const std::string key = "pkcs11:token=usher;object=laptop";
    CHECK(status_table(fine, saved, word, agent, key).find(key) != std::string::npos);
    CHECK(status_json(fine, saved, word, agent, key).at("device_key").as_string() == key);
    // An agent that says something else than it should.
    CHECK_NOTHROW(status_table(fine, saved, word, boost::json::object{{"pid", "x"}, {"forwards", {1, nullptr}}}));
}
