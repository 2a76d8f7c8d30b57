#include "audit/fleet_cursor.hpp"

#include "catch.hpp"

using namespace usher;
using audit::FleetCursor;

namespace {
const std::string a = "01900000-0000-7000-8000-00000000000a";
const std::string b = "01900000-0000-7000-8000-00000000000b";
}  // namespace

TEST_CASE("a cursor of all gateways reads back as it was") {
    FleetCursor cursor;
    cursor.positions = {{*base::Uuid::parse(a), 7}, {*base::Uuid::parse(b), 0}};
    cursor.whole = true;
    CHECK(cursor.to_string() == "2:" + a + ":7," + b + ":0");
    const auto read = FleetCursor::parse(cursor.to_string());
    REQUIRE(read);
    CHECK(read->positions == cursor.positions);
    CHECK(read->whole);
}

TEST_CASE("of one gateway alone it may say that there is no other") {
    const auto whole = FleetCursor::parse("2:" + a + ":7");
    REQUIRE(whole);
    CHECK(whole->whole);
    CHECK(whole->to_string() == "2:" + a + ":7");
}

TEST_CASE("the older form is of one gateway and says nothing of others") {
    const auto read = FleetCursor::parse(a + ":12");
    REQUIRE(read);
    CHECK_FALSE(read->whole);
    CHECK(read->positions == audit::Sequences{{*base::Uuid::parse(a), 12}});
    CHECK(read->to_string() == a + ":12");
}

TEST_CASE("what is no cursor is refused") {
    std::string many = "2:";
    for (int i = 0; i < 65; ++i) {
        char id[37];
        std::snprintf(id, sizeof id, "01900000-0000-7000-8000-%012d", i);
        many += (i > 0 ? "," : "") + std::string(id) + ":1";
    }
    for (const std::string& bad : {std::string(), std::string("x"), std::string("2:"), "2:" + a, "2:" + a + ":1,",
                                   "2:," + a + ":1", "2:" + a + ":1," + a + ":2", "2:" + a + ":-1", "3:" + a + ":1",
                                   a + ":1," + b + ":1", "2:" + a + ":9223372036854775808", many, "2:" + a + ":1 "}) {
        INFO(bad);
        CHECK_FALSE(FleetCursor::parse(bad));
    }
}
