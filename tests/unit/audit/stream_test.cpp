// The journal, the shipper, the store and the tail reader together.
#include <atomic>

#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using base::Errc;
using v1::AccessEventType;

namespace {

constexpr base::Microseconds patience{60'000'000};

/// A database that is away when told so.
class FlakyDatabase final : public base::sql::Database {
public:
    using Body = std::function<base::Result<void>(base::sql::Transaction&)>;
    explicit FlakyDatabase(base::sql::Database& real) : real_(real) {}
    std::atomic<bool> away{false};
    std::atomic<unsigned> refused{0};

    base::sql::Dialect dialect() const noexcept override { return real_.dialect(); }
    base::Result<void> migrate(std::span<const base::sql::Migration> m) override { return real_.migrate(m); }
    base::Result<void> transaction(const Body& body) override { return away ? refuse() : real_.transaction(body); }
    base::Result<void> read(const Body& body) override { return away ? refuse() : real_.read(body); }

private:
    base::Result<void> refuse() {
        ++refused;
        return {Errc::unavailable, "the database is away"};
    }
    base::sql::Database& real_;
};

std::vector<std::uint64_t> sequences(audit::TailReader& reader) {
    std::vector<std::uint64_t> out;
    for (;;) {
        auto batch = reader.next();
        if (!batch) FAIL(batch.error().message);
        CHECK(batch->items.size() <= 256);
        for (const auto& item : batch->items) {
            REQUIRE(item.has_event());
            out.push_back(item.event().sequence());
        }
        if (batch->at_end) return out;
    }
}

std::vector<std::uint64_t> from_to(std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> out;
    for (auto i = first; i <= last; ++i) out.push_back(i);
    return out;
}

}  // namespace

TEST_CASE("what waited for the store during an outage arrives once and in order") {
    for_each_backend([](TestDatabase& test) {
        auto real = open_store_database(test);
        FlakyDatabase database(*real);
        audit::Store store(database);
        TestJournal journal;
        const base::SystemClock clock;
        const auto id = base::new_uuid(journal.clock);
        auto shipper = audit::Shipper::start(*journal.journal, store, clock);
        auto last = journal.append(access(id, AccessEventType::OPENED));
        REQUIRE(shipper->wait_shipped(last, patience));
        database.away = true;
        for (int i = 1; i <= 700; ++i) last = journal.append(access(id, AccessEventType::PROGRESS, i));
        eventually([&] { return database.refused > 0 && !shipper->last_error().empty(); });
        CHECK(shipper->shipped_sequence() == 1);
        database.away = false;
        REQUIRE(shipper->wait_shipped(last, patience));
        CHECK(shipper->last_error().empty());
        CHECK(*store.watermark(journal.journal->gateway_id()) == last);
        std::vector<std::uint64_t> stored;
        for (std::uint64_t after = 0;;) {
            auto events = store.read_events(journal.journal->gateway_id(), after, 100);
            REQUIRE(events.ok());
            if (events->empty()) break;
            for (const auto& event : *events) stored.push_back(event.sequence);
            after = stored.back();
        }
        CHECK(stored == from_to(1, last));
        const auto rows = all_accesses(store);
        REQUIRE(rows.size() == 1);
        CHECK(rows[0].bytes_up() == 700);
    });
}

TEST_CASE("a shipper that starts again goes on where the store is") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        TestJournal journal;
        const base::SystemClock clock;
        auto last = journal.append(access(base::new_uuid(journal.clock), AccessEventType::OPENED));
        {
            auto shipper = audit::Shipper::start(*journal.journal, store, clock);
            REQUIRE(shipper->wait_shipped(last, patience));
        }
        last = journal.append(access(base::new_uuid(journal.clock), AccessEventType::OPENED));
        journal.open();
        auto shipper = audit::Shipper::start(*journal.journal, store, clock);
        REQUIRE(shipper->wait_shipped(last, patience));
        CHECK(all_accesses(store).size() == 2);
    });
}

TEST_CASE("a tail is led from the store into the journal without a gap") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        TestJournal journal;
        journal.open(1);
        const base::SystemClock clock;
        auto shipper = audit::Shipper::start(*journal.journal, store, clock);
        std::uint64_t last = 0;
        // Enough for several segments of 64 KiB, so that the first ones go once they are shipped.
        auto record = access(base::new_uuid(journal.clock), AccessEventType::DENIED);
        record.set_destination_host(std::string(200, 'h'));
        for (int i = 0; i < 1500; ++i) {
            record.set_access_id(base::new_uuid(journal.clock).to_string());
            last = journal.append(record);
        }
        REQUIRE(shipper->wait_shipped(last, patience));
        while (journal.journal->status().first_sequence <= 1) journal.append(record), std::this_thread::yield();
        last = journal.journal->durable_sequence();
        REQUIRE(shipper->wait_shipped(last, patience));

        audit::TailReader reader(*journal.journal, store, audit::Filter());
        REQUIRE(reader.start_after({journal.journal->gateway_id(), 0}).ok());
        CHECK(sequences(reader) == from_to(1, last));
        const auto more = journal.append(record);
        CHECK(sequences(reader) == from_to(last + 1, more));

        audit::TailReader middle(*journal.journal, store, audit::Filter());
        REQUIRE(middle.start_after({journal.journal->gateway_id(), 700}).ok());
        CHECK(sequences(middle) == from_to(701, more));

        audit::TailReader now(*journal.journal, store, audit::Filter());
        now.start_now();
        CHECK(sequences(now).empty());

        audit::TailReader all(*journal.journal, store, audit::Filter());
        REQUIRE(all.start_since(noon - base::Microseconds{1}).ok());
        CHECK(sequences(all) == from_to(1, more));
    });
}

TEST_CASE("a cursor of another gateway or beyond the end is refused") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        TestJournal journal;
        const auto last = journal.append(access(base::new_uuid(journal.clock), AccessEventType::OPENED));
        audit::TailReader reader(*journal.journal, store, audit::Filter());
        CHECK(reader.start_after({base::new_uuid(journal.clock), 0}).error().code == Errc::invalid_argument);
        CHECK(reader.start_after({journal.journal->gateway_id(), last + 1}).error().code == Errc::invalid_argument);
        CHECK(reader.start_after({journal.journal->gateway_id(), last}).ok());
    });
    for (const char* text :
         {"", ":", "x:1", "01a00000-0000-7000-8000-000000000001",
          "01a00000-0000-7000-8000-000000000001:", "01a00000-0000-7000-8000-000000000001:-1",
          "01a00000-0000-7000-8000-000000000001:1 ", "01a00000-0000-7000-8000-000000000001:99999999999999999999"}) {
        INFO(text);
        CHECK_FALSE(audit::Cursor::parse(text));
    }
    const auto cursor = audit::Cursor::parse("01a00000-0000-7000-8000-000000000001:42");
    REQUIRE(cursor);
    CHECK(cursor->to_string() == "01a00000-0000-7000-8000-000000000001:42");
}

TEST_CASE("a filter in the tail lets only matches through, and an empty batch is not the end") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        TestJournal journal;
        std::vector<std::uint64_t> wanted;
        for (int i = 0; i < 300; ++i) {
            auto record = access(base::new_uuid(journal.clock), AccessEventType::DENIED);
            if (i % 100 == 99) record.set_app("rare");
            const auto sequence = journal.append(record);
            if (i % 100 == 99) wanted.push_back(sequence);
        }
        audit::TailReader reader(*journal.journal, store, std::move(audit::Filter::parse("app = \"rare\"")).value());
        REQUIRE(reader.start_after({journal.journal->gateway_id(), 0}).ok());
        CHECK(sequences(reader) == wanted);
        CHECK(reader.position() == 300);
    });
}
