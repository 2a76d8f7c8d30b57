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
    CHECK(cursor.to_string() == "2:" + a + ":7," + b + ":0.");
    const auto read = FleetCursor::parse(cursor.to_string());
    REQUIRE(read);
    CHECK(read->positions == cursor.positions);
    CHECK(read->whole);
}

TEST_CASE("of one gateway alone it may say that there is no other") {
    const auto whole = FleetCursor::parse("2:" + a + ":7.");
    REQUIRE(whole);
    CHECK(whole->whole);
    CHECK(whole->to_string() == "2:" + a + ":7.");
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
    for (const std::string& bad : {std::string(),
                                   std::string("x"),
                                   std::string("2:"),
                                   std::string("2:."),
                                   std::string("."),
                                   "2:" + a,
                                   "2:" + a + ".",
                                   "2:" + a + ":1,.",
                                   "2:" + a + ":1..",
                                   "2:," + a + ":1.",
                                   "2:" + a + ":1," + a + ":2.",
                                   "2:" + a + ":-1.",
                                   "3:" + a + ":1.",
                                   a + ":1," + b + ":1",
                                   a + ":1.",
                                   "2:" + a + ":9223372036854775808.",
                                   many + ".",
                                   "2:" + a + ":1 .",
                                   "2:" + a + ":1. ",
                                   " 2:" + a + ":1.",
                                   "2:" + a + ":1." + std::string(1, '\0'),
                                   "2:" + a + ":1'; DROP TABLE audit_events; --."}) {
        INFO(bad);
        CHECK_FALSE(FleetCursor::parse(bad));
    }
}

TEST_CASE("a cursor that was cut anywhere is refused") {
    const std::string whole = "2:" + a + ":123," + b + ":456.";
    REQUIRE(FleetCursor::parse(whole));
    for (std::size_t length = 0; length < whole.size(); ++length) {
        INFO(whole.substr(0, length));
        CHECK_FALSE(FleetCursor::parse(whole.substr(0, length)));
        if (length > 0) CHECK_FALSE(FleetCursor::parse(whole.substr(length)));
    }
}

TEST_CASE("a cursor of as many gateways as are shown fits into what clients take as metadata") {
    FleetCursor cursor;
    cursor.whole = true;
    for (std::size_t i = 0; i < audit::fleet_gateways_max; ++i) {
        char id[37];
        std::snprintf(id, sizeof id, "01900000-0000-7000-8000-%012zu", i);
        cursor.positions.emplace(*base::Uuid::parse(id), INT64_MAX);
    }
    const auto text = cursor.to_string();
    CHECK(text.size() < 4096);  // gRPC's clients take 8 KiB of all metadata
    const auto read = FleetCursor::parse(text);
    REQUIRE(read);
    CHECK(read->positions == cursor.positions);
}
