// Records that the database refuses for what is in them.
#include <algorithm>
#include <set>

#include "audit/retention_store.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::JournalRecord;
using base::Errc;
using v1::AccessEventType;

namespace {

/// From now on the database refuses rows of this user.
void refuse(base::sql::Database& database, const std::string& username) {
    const bool sqlite = database.dialect() == base::sql::Dialect::sqlite;
    const std::string sql = sqlite
                                ? "CREATE TRIGGER refusal BEFORE INSERT ON accesses WHEN NEW.username = '" + username +
                                      "' BEGIN SELECT RAISE(ABORT, 'not this one'); END"
                                : "ALTER TABLE accesses ADD CONSTRAINT refusal CHECK (username <> '" + username + "')";
    const auto done = database.transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
        tx.execute(sql);
        return {};
    });
    if (!done) FAIL(done.error().message);
}

void refuse_no_more(base::sql::Database& database) {
    const bool sqlite = database.dialect() == base::sql::Dialect::sqlite;
    const auto done = database.transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
        tx.execute(sqlite ? "DROP TRIGGER refusal" : "ALTER TABLE accesses DROP CONSTRAINT refusal");
        return {};
    });
    if (!done) FAIL(done.error().message);
}

v1::AccessRecord of(const std::string& username, const base::Clock& clock) {
    auto record = access(base::new_uuid(clock), AccessEventType::DENIED);
    record.set_username(username);
    return record;
}

/// A journal and a store that refuses the user mallory, with a shipment between them.
struct Refusing {
    explicit Refusing(TestDatabase& test)
        : database(open_store_database(test)),
          store(*database),
          shipment(*journal.journal, store,
                   [this](const JournalRecord& record, const base::Error&) { told.push_back(record.sequence); }) {
        refuse(*database, "mallory");
    }
    /// Returns in how many steps.
    std::size_t ship_all() {
        for (std::size_t steps = 0;; ++steps) {
            const auto shipped = shipment.ship_batch();
            if (!shipped) FAIL(shipped.error().message);
            if (*shipped == 0) return steps;
        }
    }
    std::vector<std::uint64_t> parked() {
        const auto found = store.list_parked({}, 0, 10'000);
        if (!found) FAIL(found.error().message);
        std::vector<std::uint64_t> out;
        for (const auto& each : *found) out.push_back(each.record.sequence);
        return out;
    }

    /// How many events the store has, page by page; fails where one is missing or out of order.
    std::size_t stream() {
        std::uint64_t after = 0;
        while (true) {
            const auto events = store.read_events(journal.journal->gateway_id(), after, 1000);
            if (!events) FAIL(events.error().message);
            if (events->empty()) return after;
            for (const auto& event : *events) CHECK(event.sequence == ++after);
        }
    }

    TestJournal journal;
    std::unique_ptr<base::sql::Database> database;
    audit::Store store;
    std::vector<std::uint64_t> told;
    audit::Shipment shipment;
};

}  // namespace

TEST_CASE("a record that the store refuses is parked, and all others go on in order") {
    for_each_backend([](TestDatabase& test) {
        Refusing t(test);
        std::vector<std::uint64_t> refused;
        std::set<std::string> expected;
        for (int i = 0; i < 2500; ++i) {
            const bool bad = i == 0 || i == 700 || i == 701 || i == 2499;
            auto record = of(bad ? "mallory" : "alice", t.journal.clock);
            if (!bad) expected.insert(record.access_id());
            auto append = audit::encode(record);
            if (i < 2499)
                t.journal.journal->append(std::move(append), {});
            else
                REQUIRE(t.journal.journal->append_and_wait(std::move(append)).ok());
            if (bad) refused.push_back(static_cast<std::uint64_t>(i) + 1);
        }
        // Each is found by halving, not one by one.
        CHECK(t.ship_all() < 100);
        CHECK(t.parked() == refused);
        CHECK(t.told == refused);
        CHECK(*t.store.watermark(t.journal.journal->gateway_id()) == 2500);
        CHECK(*t.store.count_parked() == 4);
        std::set<std::string> rows;
        for (const auto& record : all_accesses(t.store)) rows.insert(record.access_id());
        CHECK(rows == expected);

        // The stream has them all: whoever reads the store instead of the journal misses nothing.
        CHECK(t.stream() == 2500);
        const auto last = t.store.read_events(t.journal.journal->gateway_id(), 2499, 10);
        REQUIRE(last.ok());
        CHECK(last->size() == 1);
    });
}

TEST_CASE("a store that refuses everything costs a try and a row for each record, and loses none") {
    for_each_backend([](TestDatabase& test) {
        Refusing t(test);
        for (int i = 0; i < 150; ++i) t.journal.append(of("mallory", t.journal.clock));
        CHECK(t.ship_all() == 150);
        CHECK(t.parked().size() == 150);
        // The stream goes on from one page to the next.
        CHECK(t.stream() == 150);
    });
}

TEST_CASE("what is parked is brought to its place once the cause is mended, and not before") {
    for_each_backend([](TestDatabase& test) {
        Refusing t(test);
        const auto gateway = t.journal.journal->gateway_id();
        t.journal.append(of("alice", t.journal.clock));
        const auto bad = of("mallory", t.journal.clock);
        t.journal.append(bad);
        t.ship_all();
        const auto parked = t.store.find_parked(gateway, 2);
        REQUIRE(parked.ok());
        CHECK(parked->gateway == gateway);
        CHECK(parked->error.find("accesses") != std::string::npos);
        CHECK(audit::decode(gateway, parked->record)->access().username() == "mallory");

        const auto still = t.store.retry_parked(gateway, 2);
        REQUIRE_FALSE(still.ok());
        CHECK(audit::is_refusal(still.error()));
        CHECK(t.parked() == std::vector<std::uint64_t>{2});

        refuse_no_more(*t.database);
        CHECK(t.store.retry_parked(gateway, 2).ok());
        CHECK(t.parked().empty());
        CHECK(*t.store.count_parked() == 0);
        CHECK(all_accesses(t.store, "username = \"mallory\"").at(0).access_id() == bad.access_id());
        CHECK(t.store.read_events(gateway, 0, 10)->size() == 2);
        CHECK(t.store.retry_parked(gateway, 2).error().code == Errc::not_found);
    });
}

TEST_CASE("a record that somebody's foreign key or trigger refuses is parked too") {
    for_each_backend([](TestDatabase& test) {
        if (test.dialect() == base::sql::Dialect::sqlite) return;  // adds no constraint to a table that is there
        const std::string trigger =
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.username = 'trent' THEN RAISE "
            "EXCEPTION 'not %', NEW.username; END IF; RETURN NEW; END$$";
        const std::vector<std::string> refusals{
            "ALTER TABLE accesses ADD CONSTRAINT known FOREIGN KEY (username) REFERENCES known (name)",
            "ALTER TABLE accesses ADD CONSTRAINT known FOREIGN KEY (username) REFERENCES known (name) DEFERRABLE "
            "INITIALLY DEFERRED",
            "CREATE TRIGGER no BEFORE INSERT ON accesses FOR EACH ROW EXECUTE FUNCTION no()",
            "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON accesses DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE "
            "FUNCTION no()"};
        for (const auto& refusal : refusals) {
            INFO(refusal);
            TestJournal journal;
            auto database = open_store_database(test);
            const auto run = [&](const std::string& sql) {
                const auto done = database->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
                    tx.execute(sql);
                    return {};
                });
                if (!done) FAIL(done.error().message);
            };
            run("DROP TABLE IF EXISTS known CASCADE");
            run("DROP FUNCTION IF EXISTS no CASCADE");
            run("CREATE TABLE known (name TEXT COLLATE \"C\" PRIMARY KEY)");
            run("INSERT INTO known VALUES ('alice')");
            run(trigger);
            run(refusal);
            audit::Store store(*database);
            audit::Shipment shipment(*journal.journal, store);
            journal.append(of("alice", journal.clock));
            journal.append(of("trent", journal.clock));
            journal.append(of("alice", journal.clock));
            for (std::size_t shipped = 1; shipped > 0;) {
                const auto batch = shipment.ship_batch();
                if (!batch) FAIL(batch.error().message);
                shipped = *batch;
            }
            const auto parked = store.list_parked({}, 0, 10);
            REQUIRE(parked.ok());
            REQUIRE(std::count_if(parked->begin(), parked->end(), [&](const auto& each) {
                        return each.gateway == journal.journal->gateway_id();
                    }) == 1);
            CHECK(store.find_parked(journal.journal->gateway_id(), 2)->error.find("not trent") == std::string::npos);
            CHECK(*store.watermark(journal.journal->gateway_id()) == 3);
            const auto still = store.retry_parked(journal.journal->gateway_id(), 2);
            REQUIRE_FALSE(still.ok());
            CHECK(audit::is_refusal(still.error()));
        }
    });
}

TEST_CASE("a parked record is given up for good, once that is on record") {
    for_each_backend([](TestDatabase& test) {
        Refusing t(test);
        const auto gateway = t.journal.journal->gateway_id();
        t.journal.append(of("alice", t.journal.clock));
        t.journal.append(of("mallory", t.journal.clock));
        t.journal.append(of("alice", t.journal.clock));
        t.ship_all();
        const auto refused = t.store.discard_parked(gateway, 2, [](const auto&) -> base::Result<void> {
            return {Errc::unavailable, "the journal is full"};
        });
        CHECK(refused.error().code == Errc::unavailable);
        CHECK(t.parked() == std::vector<std::uint64_t>{2});

        std::vector<std::string> told;
        const auto tell = [&](const audit::Store::Parked& parked) -> base::Result<void> {
            told.push_back(std::to_string(parked.record.sequence) + parked.error);
            return {};
        };
        CHECK(t.store.discard_parked(gateway, 2, tell).ok());
        CHECK(told.size() == 1);
        CHECK(t.parked().empty());
        CHECK(t.store.discard_parked(gateway, 2, tell).error().code == Errc::not_found);
        CHECK(told.size() == 1);
        const auto events = t.store.read_events(gateway, 0, 10);
        REQUIRE(events.ok());
        REQUIRE(events->size() == 2);
        CHECK(events->back().sequence == 3);
    });
}

TEST_CASE("a parked record that a hold keeps, or that an access needs for its end, is not given up") {
    for_each_backend([](TestDatabase& test) {
        Refusing t(test);
        const auto gateway = t.journal.journal->gateway_id();
        const auto fine = [](const auto&) { return base::Result<void>{}; };
        auto record = of("alice", t.journal.clock);
        record.set_event(AccessEventType::OPENED);
        t.journal.append(record);
        t.ship_all();
        record.set_event(AccessEventType::CLOSED);
        record.set_username("mallory");
        t.journal.append(record);
        t.journal.append(of("mallory", t.journal.clock));
        t.ship_all();
        CHECK(t.parked() == std::vector<std::uint64_t>{2, 3});
        const auto needed = t.store.discard_parked(gateway, 2, fine);
        CHECK(needed.error().code == Errc::failed_precondition);
        CHECK(needed.error().message.find("retry it") != std::string::npos);

        audit::RetentionStore retention(*t.database);
        audit::Hold hold;
        hold.name = "case-1";
        hold.account = "mallory";
        const std::vector<audit::RetentionResource> orders{hold};
        const auto record_it = [](const audit::RetentionChange&) { return base::Result<void>{}; };
        REQUIRE(retention.apply(orders, "root", t.journal.clock.utc(), record_it).ok());
        const auto held = t.store.discard_parked(gateway, 3, fine);
        CHECK(held.error().code == Errc::failed_precondition);
        CHECK(held.error().message.find("case-1") != std::string::npos);
        REQUIRE(retention.delete_hold("case-1", record_it).ok());
        CHECK(t.store.discard_parked(gateway, 3, fine).ok());
        CHECK(t.parked() == std::vector<std::uint64_t>{2});
    });
}

TEST_CASE("an older event of an access that is brought to its place late does not replace a newer one") {
    for_each_backend([](TestDatabase& test) {
        Refusing t(test);
        auto record = of("mallory", t.journal.clock);
        record.set_event(AccessEventType::OPENED);
        t.journal.append(record);
        t.ship_all();
        record.set_event(AccessEventType::CLOSED);
        record.set_username("alice");
        t.journal.append(record);
        t.ship_all();
        refuse_no_more(*t.database);
        CHECK(t.store.retry_parked(t.journal.journal->gateway_id(), 1).ok());
        CHECK(all_accesses(t.store).at(0).event() == AccessEventType::CLOSED);
    });
}

TEST_CASE("a parked record is not parked again, and none is parked behind a gap") {
    for_each_backend([](TestDatabase& test) {
        Refusing t(test);
        const auto gateway = t.journal.journal->gateway_id();
        const base::Error why{Errc::invalid_argument, "no"};
        CHECK(t.store.park(gateway, durable(1, of("mallory", t.journal.clock)), why).ok());
        CHECK(t.store.park(gateway, durable(1, of("mallory", t.journal.clock)), why).ok());
        CHECK(t.store.park(gateway, durable(3, of("mallory", t.journal.clock)), why).error().code ==
              Errc::failed_precondition);
        CHECK(t.parked() == std::vector<std::uint64_t>{1});
        CHECK(*t.store.watermark(gateway) == 1);
        // Nor does a batch that is sent again put it in its place behind one's back.
        const std::vector<JournalRecord> batch{durable(1, of("alice", t.journal.clock))};
        CHECK(t.store.ingest(gateway, batch).ok());
        CHECK(t.store.read_events(gateway, 0, 10)->size() == 1);
    });
}
