// What a reader of the stream is given when events are gone, large, many or broken.
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using v1::AccessEventType;

namespace {

constexpr base::Microseconds patience{60'000'000};

/// The stream as text: "1", "2", and "[3-5]" for a gap.
std::vector<std::string> shown(const audit::TailReader::Batch& batch) {
    std::vector<std::string> out;
    for (const auto& item : batch.items) {
        if (item.has_gap())
            out.push_back("[" + std::to_string(item.gap().first_missing()) + "-" +
                          std::to_string(item.gap().last_missing()) + "]");
        else
            out.push_back(std::to_string(item.event().sequence()));
    }
    return out;
}

audit::TailReader::Batch next(audit::TailReader& reader) {
    auto batch = reader.next();
    if (!batch) FAIL(batch.error().message);
    CHECK(batch->items.size() <= 256);
    return std::move(*batch);
}

std::vector<std::string> to_end(audit::TailReader& reader) {
    std::vector<std::string> out;
    for (;;) {
        const auto batch = next(reader);
        for (auto& text : shown(batch)) out.push_back(std::move(text));
        if (batch.at_end) return out;
    }
}

/// A journal of which the first segments are gone, and the store that has them.
struct Shipped {
    std::unique_ptr<base::sql::Database> database;
    audit::Store store;
    TestJournal journal;
    std::uint64_t last = 0;
    std::uint64_t first = 0;  ///< that the journal still has

    explicit Shipped(TestDatabase& test) : database(open_store_database(test)), store(*database) {
        journal.open(0);
        auto record = access(base::new_uuid(journal.clock), AccessEventType::DENIED);
        record.set_destination_host(std::string(200, 'h'));
        const auto add = [&] {
            record.set_access_id(base::new_uuid(journal.clock).to_string());
            journal.clock.advance(base::Microseconds{1});
            return journal.append(record);
        };
        while (last < 700) last = add();
        auto shipper = audit::Shipper::start(*journal.journal, store, base::SystemClock());
        REQUIRE(shipper->wait_shipped(last, patience));
        eventually([&] { return !((first = journal.journal->status().first_sequence) <= 200); });
        shipper.reset();
        first = journal.journal->status().first_sequence;
    }
    base::Uuid gateway() const { return journal.journal->gateway_id(); }
    void remove(const std::string& condition) {
        const auto removed = database->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
            tx.execute("DELETE FROM audit_events WHERE " + condition);
            return {};
        });
        if (!removed) FAIL(removed.error().message);
    }
    audit::TailReader reader() { return {*journal.journal, store, audit::Filter()}; }
};

}  // namespace

TEST_CASE("what retention removed is reported, once and exactly") {
    for_each_backend([](TestDatabase& test) {
        Shipped shipped(test);
        shipped.remove("sequence BETWEEN 3 AND 9 OR sequence = 12");
        auto reader = shipped.reader();
        REQUIRE(reader.start_after({shipped.gateway(), 1}).ok());
        auto seen = to_end(reader);
        REQUIRE(seen.size() > 8);
        CHECK(std::vector<std::string>(seen.begin(), seen.begin() + 6) ==
              std::vector<std::string>{"2", "[3-9]", "10", "11", "[12-12]", "13"});
        CHECK(seen.back() == std::to_string(shipped.last));
        // A cursor inside of what is gone.
        REQUIRE(reader.start_after({shipped.gateway(), 5}).ok());
        CHECK(shown(next(reader)).front() == "[6-9]");
        // Everything that only the store had.
        shipped.remove("sequence < " + std::to_string(shipped.first));
        REQUIRE(reader.start_after({shipped.gateway(), 0}).ok());
        seen = to_end(reader);
        CHECK(seen[0] == "[1-" + std::to_string(shipped.first - 1) + "]");
        CHECK(seen[1] == std::to_string(shipped.first));
        CHECK(seen.size() == shipped.last - shipped.first + 2);
        CHECK(to_end(reader).empty());
    });
}

TEST_CASE("a batch is bounded even where every second event is gone") {
    for_each_backend([](TestDatabase& test) {
        Shipped shipped(test);
        shipped.remove("sequence % 2 = 0");
        auto reader = shipped.reader();
        REQUIRE(reader.start_after({shipped.gateway(), 0}).ok());
        std::vector<std::string> seen;
        std::uint64_t expected = 1;
        for (bool end = false; !end;) {
            const auto batch = next(reader);  // which checks the bound
            end = batch.at_end;
            for (const auto& item : batch.items) {
                CHECK((item.has_gap() ? item.gap().first_missing() : item.event().sequence()) == expected);
                expected = (item.has_gap() ? item.gap().last_missing() : item.event().sequence()) + 1;
            }
        }
        CHECK(expected == shipped.last + 1);
    });
}

TEST_CASE("a batch of large events is bounded by bytes, from the journal and from the store") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        TestJournal journal;
        v1::AdminRecord large;
        large.set_actor("admin");
        std::vector<audit::JournalRecord> batch;
        large.set_after_json(std::string(40'000, 'j'));
        for (int i = 0; i < 100; ++i) REQUIRE(journal.journal->append_and_wait(audit::encode(large)).ok());
        const auto measure = [&] {
            // Of the journal as it is now: it is opened anew in between.
            audit::TailReader reader(*journal.journal, store, audit::Filter());
            std::size_t events = 0;
            REQUIRE(reader.start_after({journal.journal->gateway_id(), 0}).ok());
            for (bool end = false; !end;) {
                const auto read = next(reader);
                std::size_t bytes = 0;
                for (const auto& item : read.items) bytes += item.ByteSizeLong();
                CHECK(bytes < (1u << 20) + 300'000);
                events += read.items.size();
                end = read.at_end;
            }
            CHECK(events == 100);
        };
        measure();
        journal.open(0);
        auto shipper = audit::Shipper::start(*journal.journal, store, base::SystemClock());
        REQUIRE(shipper->wait_shipped(100, patience));
        eventually([&] { return !(journal.journal->status().first_sequence < 90); });
        measure();
    });
}

TEST_CASE("a reader that stops goes on from the store, and misses nothing that came meanwhile") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        TestJournal journal;
        journal.open(0);
        auto shipper = audit::Shipper::start(*journal.journal, store, base::SystemClock());
        auto record = access(base::new_uuid(journal.clock), AccessEventType::DENIED);
        record.set_destination_host(std::string(200, 'h'));
        journal.append(record);
        audit::TailReader slow(*journal.journal, store, audit::Filter());
        REQUIRE(slow.start_after({journal.journal->gateway_id(), 0}).ok());
        CHECK(shown(next(slow)) == std::vector<std::string>{"1"});
        std::uint64_t last = 0;
        while (journal.journal->status().first_sequence < 10) {
            record.set_access_id(base::new_uuid(journal.clock).to_string());
            last = journal.append(record);
        }
        CHECK(slow.position() == 1);
        std::uint64_t expected = 2;
        for (bool end = false; !end;) {
            const auto batch = next(slow);
            for (const auto& item : batch.items) {
                REQUIRE(item.has_event());
                CHECK(item.event().sequence() == expected++);
                // Its cursor leads behind it.
                CHECK(item.event().cursor() ==
                      journal.journal->gateway_id().to_string() + ":" + std::to_string(item.event().sequence()));
            }
            end = batch.at_end;
            if (expected == 3) record.set_app("still-coming"), last = journal.append(record);
        }
        CHECK(expected == last + 1);
    });
}

TEST_CASE("since a time starts at its first event, shipped or not") {
    for_each_backend([](TestDatabase& test) {
        Shipped shipped(test);
        auto reader = shipped.reader();
        const auto events = shipped.store.read_events(shipped.gateway(), 0, 1000);
        REQUIRE(events.ok());
        const auto time = (*events)[99].recorded_at;
        REQUIRE(reader.start_since(time).ok());
        CHECK(shown(next(reader)).front() == "100");
        REQUIRE(reader.start_since(time + base::Microseconds{1}).ok());
        CHECK(shown(next(reader)).front() == "101");
        // Three that the store does not have yet; asked for the last two of them.
        for (int i = 0; i < 3; ++i) {
            shipped.journal.clock.advance(base::Microseconds{1'000'000});
            shipped.journal.append(access(base::new_uuid(shipped.journal.clock), AccessEventType::DENIED));
        }
        REQUIRE(reader.start_since(shipped.journal.clock.utc() - base::Microseconds{1'000'000}).ok());
        CHECK(to_end(reader) ==
              std::vector<std::string>{std::to_string(shipped.last + 2), std::to_string(shipped.last + 3)});
        REQUIRE(reader.start_since(shipped.journal.clock.utc() + base::Microseconds{1}).ok());
        CHECK(to_end(reader).empty());
    });
}

TEST_CASE("an event that cannot be read is a gap of one, and the stream goes on") {
    SqliteTestDatabase test;
    auto database = open_store_database(test);
    audit::Store store(*database);
    TestJournal journal;
    const auto id = base::new_uuid(journal.clock);
    journal.append(access(id, AccessEventType::OPENED));
    REQUIRE(journal.journal->append_and_wait({audit::RecordType::access_progress, id, "\xff\xff"}).ok());
    journal.append(access(id, AccessEventType::CLOSED));
    audit::TailReader reader(*journal.journal, store, audit::Filter());
    REQUIRE(reader.start_after({journal.journal->gateway_id(), 0}).ok());
    CHECK(to_end(reader) == std::vector<std::string>{"1", "[2-2]", "3"});
}
