#include <algorithm>

#include "audit/days.hpp"
#include "audit/store.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::JournalRecord;
using audit::Store;
using v1::AccessEventType;

namespace {

const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");
constexpr unsigned count = 40;

base::Uuid id(unsigned number) {
    base::Uuid out = *base::Uuid::parse("01a00000-0000-7000-8000-0000000a0000");
    out.bytes[14] = static_cast<std::uint8_t>(number >> 8);
    out.bytes[15] = static_cast<std::uint8_t>(number);
    return out;
}

/// Two accesses in each moment, a day apart from the next two: more days than one stretch holds.
base::UtcTime opened(unsigned number) { return noon - std::chrono::hours{24} * (count / 2 - number / 2); }

void fill(Store& store) {
    std::vector<JournalRecord> records;
    for (unsigned i = 0; i < count; ++i) {
        auto record = access(id(i), AccessEventType::CLOSED, i);
        set(*record.mutable_opened_at(), opened(i));
        records.push_back(durable(i + 1, record));
    }
    const auto done = store.ingest(gateway, records);
    if (!done) FAIL(done.error().message);
}

}  // namespace

TEST_CASE("accesses are scanned in their order, from any place on, in parts of any size") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        Store store(*database);
        fill(store);
        for (const std::size_t limit : {std::size_t{1}, std::size_t{7}, std::size_t{count}, std::size_t{10'000}}) {
            for (const unsigned first : {0u, 5u}) {
                Store::ScanPlace place;
                if (first != 0) place.opened_at = base::to_micros(opened(first));
                std::vector<std::uint64_t> seen;
                for (bool end = false; !end;) {
                    std::size_t visited = 0;
                    const auto scanned = store.scan_accesses(place, limit, [&](const v1::AccessRecord& record) {
                        seen.push_back(record.bytes_up());
                        return ++visited <= limit;
                    });
                    if (!scanned) FAIL(scanned.error().message);
                    REQUIRE(visited <= limit);
                    REQUIRE((scanned->end || visited == limit));
                    place = scanned->place;
                    end = scanned->end;
                }
                // What was opened in the very moment is among them.
                const unsigned from = first / 2 * 2;
                REQUIRE(seen.size() == count - from);
                for (unsigned i = 0; i < seen.size(); ++i) CHECK(seen[i] == from + i);
            }
        }
    });
}

TEST_CASE("a scan ends where its visitor does, and goes on behind that") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        Store store(*database);
        fill(store);
        unsigned visited = 0;
        const auto stopped = store.scan_accesses({}, 100, [&](const v1::AccessRecord&) { return ++visited < 3; });
        REQUIRE(stopped.ok());
        CHECK(visited == 3);
        CHECK_FALSE(stopped->end);
        std::uint64_t next = 0;
        REQUIRE(store
                    .scan_accesses(stopped->place, 1,
                                   [&](const v1::AccessRecord& record) {
                                       next = record.bytes_up();
                                       return true;
                                   })
                    .ok());
        CHECK(next == 3);
        const auto nothing = store.scan_accesses({base::to_micros(noon) * 2, ""}, 5, [](const auto&) { return true; });
        REQUIRE(nothing.ok());
        CHECK(nothing->end);
    });
}

TEST_CASE("a scan that takes several reads shows each access once, and may be ended anywhere") {
    static constexpr std::uint64_t many = 9'000;
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        Store store(*database);
        for (std::uint64_t i = 0; i < many;) {
            std::vector<JournalRecord> records;
            for (; records.size() < 1'000; ++i) {
                auto record = access(id(static_cast<unsigned>(i)), AccessEventType::CLOSED, i);
                set(*record.mutable_opened_at(), noon + std::chrono::milliseconds{i / 3});
                records.push_back(durable(i + 1, record));
            }
            REQUIRE(store.ingest(gateway, records).ok());
        }
        for (const std::uint64_t most : {many + 1, std::uint64_t{1}, std::uint64_t{999}, std::uint64_t{1'000},
                                         std::uint64_t{1'001}, std::uint64_t{2'001}}) {
            std::uint64_t seen = 0;
            bool in_order = true;
            const auto visit = [&](const v1::AccessRecord& record) {
                in_order = in_order && record.bytes_up() == seen;
                return ++seen < most;
            };
            const auto stopped = store.scan_accesses({}, many + 1, visit);
            REQUIRE(stopped.ok());
            CHECK(in_order);
            CHECK(seen == std::min(most, many));
            CHECK(stopped->end == (most > many));
            if (stopped->end) continue;
            const auto rest = store.scan_accesses(stopped->place, many, [&](const v1::AccessRecord& record) {
                in_order = in_order && record.bytes_up() == seen;
                ++seen;
                return true;
            });
            REQUIRE(rest.ok());
            CHECK(in_order);
            CHECK(seen == many);
            CHECK(rest->end);
        }
    });
}
