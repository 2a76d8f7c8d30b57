#include "auth/shared_change.hpp"

#include "catch.hpp"

namespace usher::test {
namespace {

using auth::ChangeKind;
using auth::parse_change;
using auth::SharedChange;

const std::string id = "01a21a1c-50d0-7c67-9051-9e2f5154fb4d";

TEST_CASE("what gateways tell each other reads back as it was said") {
    for (const auto kind :
         {ChangeKind::session_begun, ChangeKind::session_ended, ChangeKind::session_proved, ChangeKind::sessions_of}) {
        const SharedChange change{kind, id};
        CHECK(parse_change(auth::to_message(change)) == change);
    }
    CHECK(parse_change(auth::to_message({ChangeKind::directory, {}})) == SharedChange{ChangeKind::directory, {}});
    CHECK(parse_change(auth::to_message({ChangeKind::devices, {}})) == SharedChange{ChangeKind::devices, {}});
    CHECK(auth::to_message({ChangeKind::session_ended, id}) == "session-ended " + id);
}

TEST_CASE("what is nothing that a gateway says is nothing") {
    for (const auto& message :
         {std::string(), std::string("nonsense"), std::string("directory 7"), std::string("devices 7"),
          std::string("directory "), std::string("session-ended"), std::string("session-ended "),
          "session-ended " + id + " ", "session-ended  " + id, "session-ended " + id.substr(1),
          "sessions-of " + id + id, std::string("session-ended 01A21A1C-50D0-7C67-9051-9E2F5154FB4D"),
          " session-ended " + id, std::string("session-ended '; DROP TABLE")})
        CHECK_FALSE(parse_change(message));
}

}  // namespace
}  // namespace usher::test
