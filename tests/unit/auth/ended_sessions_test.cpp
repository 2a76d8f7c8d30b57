#include "auth/ended_sessions.hpp"

#include "catch.hpp"

using namespace usher::auth;

TEST_CASE("the sessions that ended last are remembered, and no more than the bound") {
    EndedSessions ended(3);
    std::vector<Session> sessions(5);
    for (std::size_t i = 0; i < sessions.size(); ++i) {
        sessions[i].token_sha256[0] = static_cast<std::uint8_t>(i + 1);
        sessions[i].account_id = std::to_string(i);
        ended.remember(sessions[i], SessionEnd::expired);
        ended.remember(sessions[i], SessionEnd::revoked);  // the first reason stays, and takes no second place
    }
    CHECK_FALSE(ended.find(sessions[0].token_sha256));
    CHECK_FALSE(ended.find(sessions[1].token_sha256));
    for (std::size_t i = 2; i < sessions.size(); ++i) {
        const auto found = ended.find(sessions[i].token_sha256);
        REQUIRE(found);
        CHECK(found->why == SessionEnd::expired);
        CHECK(found->account_id == std::to_string(i));
    }
    CHECK_FALSE(ended.find({}));
}
