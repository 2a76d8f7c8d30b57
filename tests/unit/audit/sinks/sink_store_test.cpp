#include "audit/sinks/sink_store.hpp"

#include "tests/unit/audit/sinks/support.hpp"

using namespace usher;
using namespace usher::test;
using audit::sinks::SinkStore;
using base::Errc;
using base::Error;

TEST_CASE("a cursor is one sink's and one gateway's, and never goes back") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        const auto other = base::new_uuid(it.clock);
        CHECK(it.cursor() == 0);
        REQUIRE(it.cursors.advance("siem", it.gateway, 10).ok());
        REQUIRE(it.cursors.advance("siem", it.gateway, 7).ok());
        CHECK(it.cursor() == 10);
        CHECK(it.cursor("kafka") == 0);
        CHECK(*it.cursors.cursor("siem", other) == 0);
    });
}

TEST_CASE("what is parked is behind the cursor, listed with its reason, and forgotten by itself") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        const Error why{Errc::invalid_argument, "too\nlong"};
        REQUIRE(it.cursors.park("siem", it.gateway, 5, noon, why).ok());
        REQUIRE(it.cursors.park("siem", it.gateway, 6, noon, why).ok());
        REQUIRE(it.cursors.park("another", it.gateway, 5, noon, why).ok());
        CHECK(it.cursor() == 6);
        CHECK(it.parked() == std::vector<std::uint64_t>{5, 6});
        CHECK(it.parked("") == std::vector<std::uint64_t>{5, 5, 6});
        auto page = it.cursors.list_parked("", {}, 1);
        REQUIRE(page.ok());
        REQUIRE(page->size() == 1);
        CHECK(page->front().sink == "another");
        CHECK(page->front().error == "too\\x0along");
        CHECK(page->front().recorded_at == noon);
        auto next = it.cursors.list_parked("", page->front(), 10);
        REQUIRE(next.ok());
        CHECK(next->size() == 2);
        CHECK(*it.cursors.count_parked("siem", it.gateway) == 2);
        CHECK(*it.cursors.count_parked("siem", base::new_uuid(it.clock)) == 0);
        REQUIRE(it.cursors.forget("siem", it.gateway, 5).ok());
        CHECK(it.parked("") == std::vector<std::uint64_t>{5, 6});
        CHECK(*it.cursors.count_parked("siem", it.gateway) == 1);
    });
}

TEST_CASE("a try is asked for of one record or of all of a sink") {
    for_each_backend([](TestDatabase& test) {
        StoreWithRecords it(test);
        const Error why{Errc::invalid_argument, "no"};
        for (const std::uint64_t sequence : {3, 4, 5})
            REQUIRE(it.cursors.park("siem", it.gateway, sequence, noon, why).ok());
        REQUIRE(it.cursors.park("another", it.gateway, 5, noon, why).ok());
        CHECK(it.cursors.to_retry("siem", it.gateway, 10)->empty());
        CHECK(*it.cursors.ask_retry("siem", it.gateway, 99) == 0);
        CHECK(*it.cursors.ask_retry("siem", it.gateway, 4) == 1);
        CHECK(*it.cursors.to_retry("siem", it.gateway, 10) == std::vector<std::uint64_t>{4});
        CHECK(*it.cursors.ask_retry("siem", std::nullopt, 0) == 3);
        CHECK(*it.cursors.to_retry("siem", it.gateway, 2) == std::vector<std::uint64_t>{3, 4});
        CHECK(it.cursors.to_retry("another", it.gateway, 10)->empty());
        REQUIRE(it.cursors.refused_again("siem", it.gateway, 3, {Errc::invalid_argument, "still not"}).ok());
        CHECK(*it.cursors.to_retry("siem", it.gateway, 10) == std::vector<std::uint64_t>{4, 5});
        const auto listed = it.cursors.list_parked("siem", {}, 10);
        CHECK(listed->front().error == "still not");
        CHECK_FALSE(listed->front().retry);
    });
}
