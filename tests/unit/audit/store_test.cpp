#include "audit/store.hpp"

#include <algorithm>

#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::JournalRecord;
using base::Errc;
using v1::AccessEventType;

namespace {

const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");

base::Uuid id(unsigned number) {
    base::Uuid out = *base::Uuid::parse("01a00000-0000-7000-8000-0000000a0000");
    out.bytes[14] = static_cast<std::uint8_t>(number >> 8);
    out.bytes[15] = static_cast<std::uint8_t>(number);
    return out;
}

}  // namespace

TEST_CASE("a batch that is sent again changes nothing") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        const std::vector<JournalRecord> batch{durable(1, access(id(1), AccessEventType::OPENED)),
                                               durable(2, access(id(2), AccessEventType::OPENED)),
                                               durable(3, access(id(1), AccessEventType::CLOSED, 10, 20))};
        REQUIRE(store.ingest(gateway, batch).ok());
        REQUIRE(store.ingest(gateway, batch).ok());
        const std::vector<JournalRecord> overlapping{batch[2],
                                                     durable(4, access(id(2), AccessEventType::CLOSED, 1, 2))};
        REQUIRE(store.ingest(gateway, overlapping).ok());
        CHECK(*store.watermark(gateway) == 4);
        const auto rows = all_accesses(store);
        REQUIRE(rows.size() == 2);
        CHECK(rows[0].event() == AccessEventType::CLOSED);
        CHECK(rows[0].bytes_up() + rows[1].bytes_up() == 11);
        const auto events = store.read_events(gateway, 0, 100);
        REQUIRE(events.ok());
        REQUIRE(events->size() == 4);
        for (std::size_t i = 0; i < 4; ++i) CHECK((*events)[i].sequence == i + 1);
        CHECK((*events)[2].payload == batch[2].payload);
    });
}

TEST_CASE("a batch that would leave a gap is refused and nothing of it is kept") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        const std::vector<JournalRecord> first{durable(1, access(id(1), AccessEventType::OPENED))};
        const std::vector<JournalRecord> gap{durable(3, access(id(1), AccessEventType::CLOSED))};
        const std::vector<JournalRecord> hole{durable(2, access(id(2), AccessEventType::OPENED)),
                                              durable(4, access(id(2), AccessEventType::CLOSED))};
        REQUIRE(store.ingest(gateway, first).ok());
        for (const auto* batch : {&gap, &hole}) {
            const auto refused = store.ingest(gateway, *batch);
            REQUIRE_FALSE(refused.ok());
            CHECK(refused.error().code == Errc::failed_precondition);
        }
        CHECK(*store.watermark(gateway) == 1);
        CHECK(all_accesses(store).size() == 1);
    });
}

TEST_CASE("each gateway has a sequence of its own") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        const base::Uuid other = id(77);
        const std::vector<JournalRecord> one{durable(1, access(id(1), AccessEventType::OPENED))};
        const std::vector<JournalRecord> two{durable(1, access(id(2), AccessEventType::OPENED))};
        REQUIRE(store.ingest(gateway, one).ok());
        CHECK(*store.watermark(other) == 0);
        REQUIRE(store.ingest(other, two).ok());
        CHECK(all_accesses(store).size() == 2);
        CHECK(store.read_events(other, 0, 10)->size() == 1);
    });
}

TEST_CASE("an access whose first event was never seen is a row all the same") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        const std::vector<JournalRecord> batch{durable(1, access(id(1), AccessEventType::CLOSED, 5, 6))};
        REQUIRE(store.ingest(gateway, batch).ok());
        REQUIRE(all_accesses(store).size() == 1);
    });
}

TEST_CASE("values are kept as they came, whatever they look like") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        auto record = access(id(1), AccessEventType::DENIED);
        record.set_username("'; DROP TABLE accesses; --");
        record.set_destination_host("%_\\\"$1?:x\xc3\xa4\xe2\x82\xac");
        record.add_reasons("one");
        record.add_reasons("two'\"");
        record.set_bytes_up(9'223'372'036'854'775'807ull);
        const std::vector<JournalRecord> batch{durable(1, record)};
        REQUIRE(store.ingest(gateway, batch).ok());
        const auto rows = all_accesses(store);
        REQUIRE(rows.size() == 1);
        CHECK(rows[0].username() == record.username());
        CHECK(rows[0].destination_host() == record.destination_host());
        CHECK(rows[0].bytes_up() == record.bytes_up());
        REQUIRE(rows[0].reasons_size() == 2);
        CHECK(rows[0].reasons(1) == "two'\"");
    });
}

TEST_CASE("a record that cannot be read is kept as an event and stops nothing") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        auto broken = durable(1, access(id(1), AccessEventType::OPENED));
        broken.payload = "\xff\xff\xff";
        const std::vector<JournalRecord> batch{broken, durable(2, access(id(2), AccessEventType::OPENED))};
        REQUIRE(store.ingest(gateway, batch).ok());
        CHECK(store.read_events(gateway, 0, 10)->size() == 2);
        CHECK(all_accesses(store).size() == 1);
    });
}

TEST_CASE("pages hold every row once, in order, while others arrive") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        std::uint64_t sequence = 0;
        const auto add = [&](unsigned from, unsigned to, std::int64_t second) {
            std::vector<JournalRecord> batch;
            for (unsigned i = from; i < to; ++i) {
                auto record = access(id(i), AccessEventType::CLOSED, i);
                // Several of the same moment: the order must not depend on time alone.
                set(*record.mutable_opened_at(), noon + base::Microseconds{second * 1'000'000 + i / 4});
                batch.push_back(durable(++sequence, record));
            }
            REQUIRE(store.ingest(gateway, batch).ok());
        };
        add(0, 40, 0);
        for (const bool oldest_first : {true, false}) {
            std::vector<std::uint64_t> seen;
            std::string token;
            unsigned pages = 0;
            do {
                auto page = store.list_accesses(audit::Filter(), oldest_first, 6, token);
                REQUIRE(page.ok());
                for (const auto& record : page->accesses) seen.push_back(record.bytes_up());
                token = page->next_page_token;
                if (++pages == 3) add(oldest_first ? 100 : 200, oldest_first ? 103 : 203, 60);
            } while (!token.empty());
            std::erase_if(seen, [](std::uint64_t n) { return n >= 100; });
            REQUIRE(seen.size() == 40);
            CHECK(
                (oldest_first ? std::is_sorted(seen.begin(), seen.end()) : std::is_sorted(seen.rbegin(), seen.rend())));
            CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
        }
    });
}

TEST_CASE("a page token of another query, or none of ours, is refused") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        std::vector<JournalRecord> batch;
        for (unsigned i = 1; i <= 5; ++i) batch.push_back(durable(i, access(id(i), AccessEventType::CLOSED)));
        REQUIRE(store.ingest(gateway, batch).ok());
        const auto page = store.list_accesses(audit::Filter(), true, 2, "");
        REQUIRE(page.ok());
        REQUIRE_FALSE(page->next_page_token.empty());
        for (const std::string& token :
             {std::string("x"), std::string("'"), page->next_page_token + "A", page->next_page_token.substr(1)}) {
            const auto refused = store.list_accesses(audit::Filter(), true, 2, token);
            REQUIRE_FALSE(refused.ok());
            CHECK(refused.error().code == Errc::invalid_argument);
        }
        const auto turned = store.list_accesses(audit::Filter(), false, 2, page->next_page_token);
        REQUIRE_FALSE(turned.ok());
        CHECK(turned.error().code == Errc::invalid_argument);
    });
}
