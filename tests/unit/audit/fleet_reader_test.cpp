// The stream of several gateways on one database, read at one of them.
#include "audit/fleet_reader.hpp"

#include <array>
#include <atomic>
#include <cstdio>
#include <future>
#include <map>
#include <thread>

#include "audit/retention_store.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::FleetCursor;
using audit::FleetReader;
using v1::AccessEventType;

namespace {

/// A gateway of the fleet.
struct Gateway {
    explicit Gateway(audit::Store& audit_store)
        : shipment(*journal.journal, audit_store), recent(*journal.journal, audit_store, journal.clock) {}
    base::Uuid id() const { return journal.journal->gateway_id(); }
    std::uint64_t append(const std::string& username = "alice") {
        journal.clock.advance(base::Microseconds{1'000'000});
        auto record = access(base::new_uuid(journal.clock), AccessEventType::DENIED);
        record.set_username(username);
        return journal.append(record);
    }
    void append(int count) {
        for (int i = 0; i < count; ++i) append();
    }
    void ship() {
        for (std::size_t shipped = 1; shipped > 0;) {
            const auto batch = shipment.ship_batch();
            if (!batch) FAIL(batch.error().message);
            shipped = *batch;
        }
    }
    TestJournal journal;
    audit::Shipment shipment;
    audit::RecentEvents recent;
};

struct Fleet {
    /// `sharing`: the readers of a gateway share what they read.
    explicit Fleet(TestDatabase& test, bool sharing = false)
        : shares(sharing), database(open_store_database(test)), store(*database), own(store), other(store) {}
    FleetReader reader(const std::string& filter = {}) { return reader_at(own, filter); }
    FleetReader reader_at(Gateway& gateway, const std::string& filter = {}) {
        auto parsed = audit::Filter::parse(filter);
        if (!parsed) FAIL(parsed.error().message);
        return FleetReader(*gateway.journal.journal, store, {filter, *parsed}, shares ? &gateway.recent : nullptr);
    }
    void know(FleetReader& reader) {
        const auto watermarks = store.watermarks();
        if (!watermarks) FAIL(watermarks.error().message);
        reader.know(*watermarks);
    }

    const bool shares;
    std::unique_ptr<base::sql::Database> database;
    audit::Store store;
    Gateway own, other;
};

/// What was read: of each gateway the sequences, a gap as those that are missing, negative.
struct Seen {
    std::map<base::Uuid, std::vector<std::int64_t>> of;
    std::string cursor;
};

void take(Seen& seen, const v1::TailResponse& item) {
    if (item.has_event()) {
        seen.of[*base::Uuid::parse(item.event().gateway_id())].push_back(
            static_cast<std::int64_t>(item.event().sequence()));
        seen.cursor = item.event().cursor();
    } else {
        for (auto n = item.gap().first_missing(); n <= item.gap().last_missing(); ++n)
            seen.of[*base::Uuid::parse(item.gap().gateway_id())].push_back(-static_cast<std::int64_t>(n));
        seen.cursor = item.gap().cursor();
    }
}

/// What a subscriber is sent of it.
audit::TailItems items_of(const FleetReader::Batch& batch) {
    auto items = batch.items;
    for (const auto& events : batch.shared)
        for (auto i = events.begin; i < events.end; ++i) {
            const auto place = (*events.picks)[i];
            auto& event = *items.emplace_back().mutable_event();
            if (!event.ParseFromString(std::string(events.block->body(place)))) FAIL("an event cannot be read");
            CHECK(event.cursor().empty());
            CHECK(event.sequence() == events.block->first() + place);
            event.set_cursor(batch.frame.around(event.sequence()));
        }
    return items;
}

Seen to_end(FleetReader& reader) {
    Seen seen;
    for (;;) {
        const auto batch = reader.next(true);
        if (!batch) FAIL(batch.error().message);
        const auto items = items_of(*batch);
        CHECK(items.size() <= 256);
        for (const auto& item : items) take(seen, item);
        if (batch->at_end) return seen;
    }
}

std::vector<std::int64_t> numbers(std::int64_t first, std::int64_t last) {
    std::vector<std::int64_t> out;
    for (auto n = first; n <= last; ++n) out.push_back(n);
    return out;
}

FleetCursor cursor_of(const std::string& text) {
    const auto cursor = FleetCursor::parse(text);
    if (!cursor) FAIL(text);
    return *cursor;
}

/// The fleet needs a database that can be shared. What its readers see is the same whether they share what they read.
template <class Body>
void for_shared(Body body) {
    const bool sharing = GENERATE(false, true);
    CAPTURE(sharing);
    for_each_backend([&](TestDatabase& test) {
        if (test.dialect() == base::sql::Dialect::postgresql) body(test, sharing);
    });
}

}  // namespace

TEST_CASE("everything since a time comes from all gateways, each in its order and once") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.own.append(700);
        fleet.other.append(600);
        fleet.other.ship();
        auto reader = fleet.reader();
        REQUIRE(reader.start_since(noon).ok());
        const auto seen = to_end(reader);
        CHECK(seen.of.at(fleet.own.id()) == numbers(1, 700));
        CHECK(seen.of.at(fleet.other.id()) == numbers(1, 600));
        // What the other has on its disk alone comes when it is in the store, and when that is known.
        fleet.other.append(3);
        CHECK(to_end(reader).of.empty());
        fleet.other.ship();
        CHECK(to_end(reader).of.empty());
        fleet.know(reader);
        CHECK(to_end(reader).of.at(fleet.other.id()) == numbers(601, 603));

        auto later = fleet.reader();
        REQUIRE(later.start_since(noon + base::Microseconds{600'000'000}).ok());
        const auto part = to_end(later);
        CHECK(part.of.at(fleet.own.id()) == numbers(600, 700));
        CHECK(part.of.at(fleet.other.id()) == numbers(600, 603));
    });
}

TEST_CASE("from any item's cursor on the rest comes, and nothing twice") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.own.append(300);
        fleet.other.append(300);
        fleet.other.ship();
        auto reader = fleet.reader();
        REQUIRE(reader.start_since(noon).ok());
        std::vector<v1::TailResponse> items;
        for (bool at_end = false; !at_end;) {
            auto batch = reader.next(true);
            REQUIRE(batch.ok());
            for (auto& item : items_of(*batch)) items.push_back(std::move(item));
            at_end = batch->at_end;
        }
        REQUIRE(items.size() == 600);
        for (const std::size_t stopped_at : {0u, 1u, 127u, 128u, 255u, 256u, 300u, 599u}) {
            Seen seen;
            for (std::size_t i = 0; i <= stopped_at; ++i) take(seen, items[i]);
            auto again = fleet.reader();
            REQUIRE(again.start_after(cursor_of(seen.cursor), false).ok());
            const auto rest = to_end(again);
            for (const auto& [gateway, sequences] : rest.of)
                seen.of[gateway].insert(seen.of[gateway].end(), sequences.begin(), sequences.end());
            CHECK(seen.of.at(fleet.own.id()) == numbers(1, 300));
            CHECK(seen.of.at(fleet.other.id()) == numbers(1, 300));
        }
    });
}

TEST_CASE("a tail goes on at any gateway from the cursor of any other, and has everything of all of them once") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        Gateway third(fleet.store);
        const std::array<Gateway*, 3> all{&fleet.own, &fleet.other, &third};
        Seen seen;
        seen.cursor = "2:" + fleet.own.id().to_string() + ":0.";
        for (std::size_t round = 0; round < 9; ++round) {
            for (std::size_t i = 0; i < all.size(); ++i) {
                all[i]->append(static_cast<int>(40 * i + 7 * round + 1));
                all[i]->ship();
            }
            auto reader = fleet.reader_at(*all[round % all.size()]);
            REQUIRE(reader.start_after(cursor_of(seen.cursor), false).ok());
            // It leaves in the middle of a batch, wherever that is.
            for (std::size_t left = 50 + 61 * round; left > 0;) {
                const auto batch = reader.next(true);
                REQUIRE(batch.ok());
                for (const auto& item : items_of(*batch)) {
                    if (left == 0) break;
                    take(seen, item);
                    --left;
                }
                if (batch->at_end) break;
            }
        }
        auto last = fleet.reader_at(third);
        REQUIRE(last.start_after(cursor_of(seen.cursor), false).ok());
        const auto rest = to_end(last);
        for (const auto& [gateway, sequences] : rest.of)
            seen.of[gateway].insert(seen.of[gateway].end(), sequences.begin(), sequences.end());
        for (auto* gateway : all)
            CHECK(seen.of.at(gateway->id()) ==
                  numbers(1, static_cast<std::int64_t>(gateway->journal.journal->durable_sequence())));
    });
}

TEST_CASE("up to where everything was is known of each gateway: of this one on its disk, of others in the store") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.own.append(5);
        fleet.other.append(7);
        fleet.other.ship();
        fleet.other.append(2);
        auto reader = fleet.reader();
        REQUIRE(reader.start_now(false).ok());
        CHECK(reader.watermarks() == audit::Sequences{{fleet.own.id(), 5}, {fleet.other.id(), 7}});
        CHECK_FALSE(reader.incomplete());
        fleet.other.ship();
        fleet.know(reader);
        CHECK(reader.watermarks() == audit::Sequences{{fleet.own.id(), 5}, {fleet.other.id(), 9}});
    });
}

TEST_CASE("what is told of the others may be older than what is known: nothing comes twice") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.own.append(1);
        fleet.own.ship();
        const auto early = fleet.store.watermarks();
        REQUIRE(early.ok());
        fleet.other.append(3);
        fleet.other.ship();
        auto reader = fleet.reader();
        REQUIRE(reader.start_after(
            cursor_of("2:" + fleet.own.id().to_string() + ":1," + fleet.other.id().to_string() + ":2."), false));
        reader.know(*early);
        CHECK(to_end(reader).of.at(fleet.other.id()) == numbers(3, 3));
        reader.know(*early);
        fleet.know(reader);
        CHECK(to_end(reader).of.empty());
    });
}

TEST_CASE("of more gateways than a tail shows the newest are shown, and it says so") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.own.append(1);
        fleet.own.ship();
        fleet.other.append(2);
        fleet.other.ship();
        const auto old_gateway = [](int number) {
            char id[37];
            std::snprintf(id, sizeof id, "01000000-0000-7000-8000-%012d", number);
            return std::string(id);
        };
        const auto add = [&](const std::string& id) {
            const auto done = fleet.database->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
                tx.execute("INSERT INTO audit_shipping (gateway_id, shipped_sequence) VALUES ($1, 0)", {id});
                return {};
            });
            if (!done) FAIL(done.error().message);
        };
        // Two are there; with these it is as many as are shown.
        for (int i = 1; i <= 62; ++i) add(old_gateway(i));
        auto reader = fleet.reader();
        REQUIRE(reader.start_now(false).ok());
        CHECK(reader.watermarks().size() == audit::fleet_gateways_max);
        CHECK_FALSE(reader.incomplete());
        const auto full = reader.position();
        CHECK(full.positions.contains(*base::Uuid::parse(old_gateway(1))));

        // Another one comes: the oldest goes, and what names it is no wrong cursor.
        Gateway late(fleet.store);
        late.append(4);
        late.ship();
        fleet.know(reader);
        auto again = fleet.reader();
        REQUIRE(again.start_after(full, false).ok());
        for (auto* each : {&reader, &again}) {
            CHECK(each->incomplete());
            CHECK(each->watermarks().size() == audit::fleet_gateways_max);
            CHECK_FALSE(each->watermarks().contains(*base::Uuid::parse(old_gateway(1))));
            CHECK(to_end(*each).of == decltype(Seen::of){{late.id(), numbers(1, 4)}});
        }
        // One that is as new as those that are shown, and is not there, is no gateway of this database.
        auto stranger = fleet.reader();
        CHECK_FALSE(stranger.start_after(cursor_of("2:01900000-0000-7000-8000-00000000000a:1."), false).ok());
    });
}

TEST_CASE("a gateway that comes after the cursor is read from its first event on") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.own.append(2);
        auto reader = fleet.reader();
        REQUIRE(reader.start_now(false).ok());
        CHECK(reader.position().to_string() == "2:" + fleet.own.id().to_string() + ":2.");
        fleet.other.append(5);
        fleet.other.ship();
        auto again = fleet.reader();
        REQUIRE(again.start_after(reader.position(), false).ok());
        fleet.know(reader);
        for (auto* each : {&reader, &again}) CHECK(to_end(*each).of.at(fleet.other.id()) == numbers(1, 5));
        CHECK(again.position().positions == reader.position().positions);
    });
}

TEST_CASE("an older cursor goes on in its gateway, and in the others from now on") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.own.append(10);
        fleet.other.append(10);
        fleet.other.ship();
        auto reader = fleet.reader();
        REQUIRE(reader.start_after(cursor_of(fleet.own.id().to_string() + ":7"), false).ok());
        auto seen = to_end(reader);
        CHECK(seen.of == decltype(seen.of){{fleet.own.id(), numbers(8, 10)}});

        auto elsewhere = fleet.reader();
        REQUIRE(elsewhere.start_after(cursor_of(fleet.other.id().to_string() + ":7"), false).ok());
        seen = to_end(elsewhere);
        CHECK(seen.of == decltype(seen.of){{fleet.other.id(), numbers(8, 10)}});

        // One that was given where the other gateway's disk was ahead of the store is good here too.
        auto ahead = fleet.reader();
        REQUIRE(ahead.start_after(cursor_of(fleet.other.id().to_string() + ":12"), false).ok());
        CHECK(to_end(ahead).of.empty());
        fleet.other.append(3);
        fleet.other.ship();
        fleet.know(ahead);
        CHECK(to_end(ahead).of.at(fleet.other.id()) == numbers(13, 13));
    });
}

TEST_CASE("a cursor of a gateway that the database does not know is refused, on SQLite of any other") {
    for_each_backend([](TestDatabase& test) {
        Fleet fleet(test);
        fleet.own.append(1);
        fleet.own.ship();
        const std::string stranger = "01900000-0000-7000-8000-00000000000a:1";
        for (const std::string& text : {stranger, "2:" + fleet.own.id().to_string() + ":1," + stranger + "."}) {
            auto reader = fleet.reader();
            const auto refused = reader.start_after(cursor_of(text), false);
            REQUIRE_FALSE(refused.ok());
            CHECK(refused.error().code == base::Errc::invalid_argument);
        }
        auto beyond = fleet.reader();
        CHECK(beyond.start_after(cursor_of(fleet.own.id().to_string() + ":2"), false).error().code ==
              base::Errc::invalid_argument);
    });
}

TEST_CASE("what retention has removed of another gateway is a gap, up to what is there or to the watermark") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.other.append(6);
        fleet.other.ship();
        const auto remove = [&](const std::string& which) {
            const auto done = fleet.database->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
                tx.execute("DELETE FROM audit_events WHERE gateway_id = $1 AND sequence " + which,
                           {fleet.other.id().to_string()});
                return {};
            });
            if (!done) FAIL(done.error().message);
        };
        remove("<= 4");
        const auto none = cursor_of("2:" + fleet.other.id().to_string() + ":0.");
        auto reader = fleet.reader();
        REQUIRE(reader.start_after(none, false).ok());
        CHECK(to_end(reader).of.at(fleet.other.id()) == std::vector<std::int64_t>{-1, -2, -3, -4, 5, 6});
        remove("> 0");
        auto empty = fleet.reader();
        REQUIRE(empty.start_after(none, false).ok());
        const auto seen = to_end(empty);
        CHECK(seen.of.at(fleet.other.id()) == std::vector<std::int64_t>{-1, -2, -3, -4, -5, -6});
        CHECK(cursor_of(seen.cursor).positions.at(fleet.other.id()) == 6);
    });
}

TEST_CASE("a filter leaves out and moves on, and what was not sent is read again") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        for (int i = 0; i < 20; ++i) fleet.other.append(i % 2 == 0 ? "even" : "odd");
        fleet.own.append("odd");
        fleet.other.ship();
        auto reader = fleet.reader("username = \"odd\"");
        REQUIRE(reader.start_since(noon).ok());
        Seen seen;
        for (bool at_end = false; !at_end;) {
            auto batch = reader.next(true);
            REQUIRE(batch.ok());
            // No more than three are sent at a time.
            const auto items = items_of(*batch);
            const auto kept = std::min<std::size_t>(items.size(), 3);
            for (std::size_t i = 0; i < kept; ++i) take(seen, items[i]);
            reader.unread(items, kept);
            at_end = batch->at_end && items.size() == kept;
        }
        CHECK(seen.of.at(fleet.own.id()) == numbers(1, 1));
        CHECK(seen.of.at(fleet.other.id()) == std::vector<std::int64_t>{2, 4, 6, 8, 10, 12, 14, 16, 18, 20});
        CHECK(reader.position().positions.at(fleet.other.id()) == 20);
    });
}

TEST_CASE("no gateway keeps the others waiting") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        Gateway third(fleet.store);
        fleet.own.append(1000);
        for (auto* gateway : {&fleet.other, &third}) {
            gateway->append(1000);
            gateway->ship();
        }
        auto reader = fleet.reader();
        REQUIRE(reader.start_since(noon).ok());
        Seen seen;
        for (int i = 0; i < 4; ++i) {
            const auto batch = reader.next(true);
            REQUIRE(batch.ok());
            for (const auto& item : items_of(*batch)) take(seen, item);
        }
        CHECK(seen.of.size() == 3);
    });
}

TEST_CASE("who follows is not held up by what another one waits for of the store") {
    for_shared([](TestDatabase& test, bool sharing) {
        if (!sharing) return;
        Fleet fleet(test, sharing);
        for (auto* gateway : {&fleet.own, &fleet.other}) gateway->append(10);
        fleet.other.ship();
        auto reader = fleet.reader(), another = fleet.reader();
        for (auto* each : {&reader, &another}) REQUIRE(each->start_since(noon).ok());

        std::promise<void> locked, seen;
        std::thread holder([&] {
            const auto held = fleet.database->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
                tx.execute("LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE");
                locked.set_value();
                seen.get_future().wait();
                return {};
            });
            CHECK(held.ok());
        });
        locked.get_future().wait();
        std::atomic<bool> answered = false;
        std::thread asks([&] {
            for (int i = 0; i < 2; ++i) (void)another.next(false);  // its own gateway's, and what the lock is on
            answered = true;
        });
        for (std::int64_t waiting = 0; waiting == 0;) {
            const auto looked = fleet.database->read([&](base::sql::Transaction& tx) -> base::Result<void> {
                waiting = tx.execute(
                                "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted AND database = (SELECT oid "
                                "FROM pg_catalog.pg_database WHERE datname = current_database())")[0]
                              .integer(0);
                return {};
            });
            REQUIRE(looked.ok());
        }
        std::size_t own = 0;
        while (!reader.paused()) {
            const auto batch = reader.next(true);
            REQUIRE(batch.ok());
            own += items_of(*batch).size();
        }
        CHECK(own == 10);
        CHECK_FALSE(answered);
        seen.set_value();
        holder.join();
        asks.join();
        fleet.know(reader);
        const auto rest = reader.next(true);
        REQUIRE(rest.ok());
        CHECK(items_of(*rest).size() == 10);
    });
}

TEST_CASE("who starts while the store hangs has its own gateway, and the others from when they are known") {
    for_shared([](TestDatabase& test, bool sharing) {
        Fleet fleet(test, sharing);
        fleet.other.append(5);
        fleet.other.ship();
        auto reader = fleet.reader();
        reader.pause();
        REQUIRE(reader.start_now(true).ok());
        CHECK(reader.watermarks().size() == 1);
        fleet.know(reader);
        fleet.other.append(5);
        fleet.other.ship();
        fleet.know(reader);
        const auto batch = reader.next(true);
        REQUIRE(batch.ok());
        CHECK(items_of(*batch).size() == 5);
    });
}

TEST_CASE("on SQLite there is one gateway, and its cursors are what they were") {
    for_each_backend([](TestDatabase& test) {
        if (test.dialect() != base::sql::Dialect::sqlite) return;
        Fleet fleet(test);
        fleet.own.append(3);
        auto reader = fleet.reader();
        REQUIRE(reader.start_after(cursor_of(fleet.own.id().to_string() + ":1"), false).ok());
        const auto seen = to_end(reader);
        CHECK(seen.of.at(fleet.own.id()) == numbers(2, 3));
        CHECK(seen.cursor == fleet.own.id().to_string() + ":3");
        CHECK(reader.position().to_string() == seen.cursor);
        CHECK(reader.watermarks() == audit::Sequences{{fleet.own.id(), 3}});
    });
}
