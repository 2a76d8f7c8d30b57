// PostgreSQL's tables by day: where records lie, how they are read across days, and how a day goes.
#include "audit/days.hpp"

#include <atomic>
#include <set>
#include <thread>

#include "audit/access_fields.hpp"
#include "audit/retention_store.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::Hold;
using audit::JournalRecord;
using audit::RetentionClass;
using audit::RetentionRun;
using audit::RetentionSetting;
using base::Errc;
using v1::AccessEventType;

namespace {

constexpr base::Microseconds day{audit::day_us};
const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");
const audit::RecordRetention unrecorded = [](const audit::RetentionChange&) { return base::Result<void>{}; };

base::Uuid id(unsigned number) {
    base::Uuid out = *base::Uuid::parse("01a00000-0000-7000-8000-0000000a0000");
    out.bytes[14] = static_cast<std::uint8_t>(number >> 8);
    out.bytes[15] = static_cast<std::uint8_t>(number);
    return out;
}

/// The rest is only of the database that has days.
template <class Body>
void on_postgresql(Body body) {
    for_each_backend([&](TestDatabase& test) {
        if (test.dialect() == base::sql::Dialect::postgresql) body(test);
    });
}

struct Days {
    explicit Days(TestDatabase& test) : database(open_store_database(test)), store(*database), retention(*database) {}

    void prepare(base::UtcTime now = noon) {
        const auto done = audit::prepare_days(*database, now);
        if (!done) FAIL(done.error().message);
    }
    /// An event of an access that was opened `opened` days ago, recorded `days_ago` days ago.
    void add(unsigned number, AccessEventType::Value event, std::int64_t opened, std::int64_t days_ago,
             const std::string& username = "alice") {
        auto record = access(id(number), event, 1, 2);
        record.set_username(username);
        set(*record.mutable_opened_at(), noon - opened * day);
        auto append = audit::encode(record);
        const std::vector<JournalRecord> batch{
            {++sequence, noon - days_ago * day, append.type, append.access_id, std::move(append.payload)}};
        const auto done = store.ingest(gateway, batch);
        if (!done) FAIL(done.error().message);
    }
    void add_access(unsigned number, std::int64_t opened, std::int64_t closed, const std::string& username = "alice") {
        add(number, AccessEventType::OPENED, opened, opened, username);
        add(number, AccessEventType::CLOSED, opened, closed, username);
    }
    std::int64_t number(const std::string& sql) {
        std::int64_t out = 0;
        const auto done = database->read([&](base::sql::Transaction& tx) -> base::Result<void> {
            out = tx.execute(sql).at(0).integer(0);
            return {};
        });
        if (!done) FAIL(done.error().message);
        return out;
    }
    std::int64_t strays() {
        return number("SELECT (SELECT COUNT(*) FROM accesses_stray) + (SELECT COUNT(*) FROM audit_events_stray)");
    }
    std::int64_t day_tables() {
        return number(
            "SELECT COUNT(*) FROM pg_catalog.pg_inherits WHERE inhparent IN ('accesses'::regclass, "
            "'audit_events_accesses'::regclass)");
    }
    void keep(const std::vector<audit::RetentionResource>& resources) {
        const auto applied = retention.apply(resources, "root", noon, unrecorded);
        if (!applied) FAIL(applied.error().message);
    }
    RetentionRun begin() {
        auto plan = retention.plan(noon, [] { return false; });
        if (!plan) FAIL(plan.error().message);
        plan->state = RetentionRun::State::running;
        REQUIRE(retention.begin(*plan).ok());
        return *plan;
    }
    /// Drops what can be; what each day gave, in order.
    std::vector<std::optional<audit::RetentionStore::Removed>> drop(RetentionRun run) {
        const auto days = retention.days_to_drop(run);
        if (!days) FAIL(days.error().message);
        std::vector<std::optional<audit::RetentionStore::Removed>> out;
        for (const auto each : *days) {
            auto dropped = retention.drop_day(run, each);
            if (!dropped) FAIL(dropped.error().message);
            out.push_back(*dropped);
        }
        // The batches do not look for what is not there any more.
        if (std::all_of(out.begin(), out.end(), [](const auto& each) { return each.has_value(); })) {
            audit::RetentionStore::Progress progress;
            while (!progress.done) REQUIRE(retention.remove(run, 100, progress).ok());
        }
        return out;
    }

    std::unique_ptr<base::sql::Database> database;
    audit::Store store;
    audit::RetentionStore retention;
    std::uint64_t sequence = 0;
};

using Removed = audit::RetentionStore::Removed;
const RetentionSetting year{RetentionClass::access, 183, 365}, half{RetentionClass::denial, 183, 365};

}  // namespace

TEST_CASE("days are counted from 1970, rounded down") {
    CHECK(audit::day_of(0) == 0);
    CHECK(audit::day_of(-1) == -1);
    CHECK(audit::day_of(audit::day_us - 1) == 0);
    CHECK(audit::day_of(audit::day_us) == 1);
    CHECK(audit::day_of(-audit::day_us) == -1);
    CHECK(audit::day_of(-audit::day_us - 1) == -2);
}

TEST_CASE("days are made ahead, and what came before its day is moved to it") {
    on_postgresql([](TestDatabase& test) {
        Days days(test);
        days.add_access(1, 0, 0);
        days.add_access(2, 30, 29);
        days.add(3, AccessEventType::DENIED, 20'500, 0);  // a clock that began at 1970
        CHECK(days.strays() == 3 + 5);
        days.prepare();
        CHECK(days.strays() == 1 + 1);
        const auto made = days.day_tables();
        CHECK(made == 2 * (9 + 1 + 1));  // yesterday to a week ahead, the day a month ago, the strays
        days.prepare();
        CHECK(days.day_tables() == made);
        days.prepare(noon + day);
        CHECK(days.day_tables() == made + 2);

        // Later events find their access's row in its day.
        days.add(4, AccessEventType::OPENED, 1, 1);
        days.add(4, AccessEventType::CLOSED, 1, 0);
        CHECK(days.strays() == 2);
        CHECK(all_accesses(days.store).size() == 4);
        CHECK(all_accesses(days.store, "event = CLOSED").size() == 3);
    });
}

TEST_CASE("the stream and the list are whole across days, also where accesses lived for weeks") {
    for_each_backend([](TestDatabase& test) {
        Days days(test);
        unsigned number = 0;
        std::vector<std::pair<unsigned, std::int64_t>> open;
        for (std::int64_t ago = 60; ago >= 0; --ago) {
            for (int i = 0; i < 3; ++i) {
                ++number;
                days.add(number, AccessEventType::OPENED, ago, ago);
                if (number % 7 == 0)
                    open.emplace_back(number, ago);
                else
                    days.add(number, AccessEventType::CLOSED, ago, ago);
            }
            if (ago % 20 == 0) {
                for (const auto& [each, opened] : open) days.add(each, AccessEventType::CLOSED, opened, ago);
                open.clear();
                days.prepare();
            }
        }
        for (const std::size_t page : {1u, 5u, 1000u}) {
            std::uint64_t after = 0;
            while (true) {
                const auto events = days.store.read_events(gateway, after, page);
                if (!events) FAIL(events.error().message);
                if (events->empty()) break;
                CHECK(events->size() <= page);
                for (const auto& event : *events) REQUIRE(event.sequence == ++after);
            }
            CHECK(after == days.sequence);
        }
        const auto all = all_accesses(days.store);  // pages of seven
        REQUIRE(all.size() == number);
        for (unsigned i = 0; i < number; ++i) CHECK(all[i].access_id() == id(i + 1).to_string());
        CHECK(all_accesses(days.store, "event = CLOSED").size() == number);
        // The first event of the last ten days; whoever was open then is in an older day.
        const auto before = days.store.sequence_before(gateway, noon - 10 * day);
        REQUIRE(before.ok());
        REQUIRE(*before);
        const auto next = days.store.read_events(gateway, **before, 1);
        CHECK(next->at(0).recorded_at == noon - 10 * day);
        CHECK_FALSE(*days.store.sequence_before(gateway, noon + day));
    });
}

TEST_CASE("a day of which everything may go is dropped whole, counted and closed") {
    on_postgresql([](TestDatabase& test) {
        Days days(test);
        for (unsigned i = 1; i <= 5; ++i) days.add_access(i, 400, 399);
        days.add(6, AccessEventType::DENIED, 400, 400);
        days.add_access(7, 380, 300);  // ended too late
        days.add_access(8, 1, 1);
        days.prepare();
        days.keep({year, half});
        const auto before = days.day_tables();
        const auto run = days.begin();
        CHECK(run.counts.at(0).plan.removable == 5);
        const auto dropped = days.drop(run);
        REQUIRE(dropped.size() == 2);
        CHECK(dropped[0] == Removed{{RetentionClass::access, 5}, {RetentionClass::denial, 1}});
        CHECK_FALSE(dropped[1]);
        CHECK(days.day_tables() == before - 2);
        CHECK(all_accesses(days.store).size() == 2);
        const auto runs = days.retention.runs(1);
        REQUIRE(runs.ok());
        CHECK(runs->at(0).counts.at(0).removed == 5);
        // The stream begins with what is left, and a replay of what has gone does not bring it back.
        CHECK(days.store.read_events(gateway, 0, 10)->at(0).sequence == 12);
        auto replay = audit::encode(access(id(1), AccessEventType::OPENED));
        const std::vector<JournalRecord> batch{{1, noon - 400 * day, replay.type, replay.access_id, replay.payload}};
        CHECK(days.store.ingest(gateway, batch).ok());
        CHECK(all_accesses(days.store).size() == 2);
    });
}

TEST_CASE("a day stays while anything in it is open, held, or kept longer by its class") {
    on_postgresql([](TestDatabase& test) {
        Days days(test);
        days.add_access(1, 400, 399);
        days.add(2, AccessEventType::OPENED, 400, 400);
        days.add_access(3, 401, 400);
        days.add(4, AccessEventType::DENIED, 401, 401);
        days.add_access(5, 402, 401, "bob");
        days.prepare();
        days.keep({year, Hold{"bob", "", "bob", "", {}, {}, "", {}}});
        const auto held = days.begin();
        const auto first = days.drop(held);
        REQUIRE(first.size() == 2);  // the held day is not even looked at
        CHECK_FALSE(first[0]);       // denials are kept for ever
        CHECK_FALSE(first[1]);       // one is open
        CHECK(all_accesses(days.store).size() == 5);

        // A hold that the plan did not know stops every drop, and so does one that it knew and that has gone.
        days.keep({half, Hold{"late", "", "carol", "", {}, {}, "", {}}});
        for (const auto& each : days.drop(held)) CHECK_FALSE(each);
        REQUIRE(days.retention.delete_hold("late", unrecorded).ok());
        const auto again = days.drop(days.begin());
        CHECK(again.at(0) == Removed{{RetentionClass::access, 1}, {RetentionClass::denial, 1}});
        REQUIRE(days.retention.delete_hold("bob", unrecorded).ok());
        CHECK(days.drop(days.begin()).at(0) == Removed{{RetentionClass::access, 1}});
        days.add(2, AccessEventType::CLOSED, 400, 399);
        CHECK(days.drop(days.begin()).at(0) == Removed{{RetentionClass::access, 2}});
        CHECK(all_accesses(days.store).empty());
    });
}

TEST_CASE("a day that somebody reads for long is not waited for; its records go in batches and its tables later") {
    on_postgresql([](TestDatabase& test) {
        Days days(test);
        days.add_access(1, 400, 399);
        days.prepare();
        days.keep({year, half});
        auto run = days.begin();
        const auto listed = days.retention.days_to_drop(run);
        REQUIRE(listed.ok());
        REQUIRE(listed->size() == 1);
        const auto other = test.open();
        const auto read = other->read([&](base::sql::Transaction& tx) -> base::Result<void> {
            tx.execute("SELECT COUNT(*) FROM accesses");
            const auto dropped = days.retention.drop_day(run, listed->at(0));
            REQUIRE_FALSE(dropped.ok());
            CHECK(dropped.error().code == Errc::unavailable);
            days.add_access(2, 0, 0);  // inserts go on
            audit::RetentionStore::Progress progress;
            while (!progress.done) REQUIRE(days.retention.remove(run, 100, progress).ok());
            return {};
        });
        REQUIRE(read.ok());
        CHECK(all_accesses(days.store).size() == 1);
        const auto tables = days.day_tables();
        CHECK(days.drop(days.begin()).at(0) == Removed{});  // empty
        CHECK(days.day_tables() == tables - 2);
    });
}

TEST_CASE("of two that ship the same records one has no effect, whatever it says they began at") {
    on_postgresql([](TestDatabase& test) {
        Days days(test);
        days.prepare();
        std::vector<std::unique_ptr<base::sql::Database>> databases;
        for (int i = 0; i < 3; ++i) databases.push_back(test.open());
        for (int round = 0; round < 10; ++round) {
            std::atomic<int> failed{0};
            std::vector<std::thread> threads;
            for (std::size_t i = 0; i < databases.size(); ++i) {
                threads.emplace_back([&, i] {
                    audit::Store store(*databases[i]);
                    std::vector<JournalRecord> batch;
                    for (unsigned n = 1; n <= 20; ++n) {
                        auto record = access(id(static_cast<unsigned>(round) * 20 + n), AccessEventType::DENIED);
                        set(*record.mutable_opened_at(), noon + static_cast<std::int64_t>(i) * day);
                        batch.push_back(durable(static_cast<std::uint64_t>(round) * 20 + n, record));
                    }
                    if (!store.ingest(gateway, batch)) ++failed;
                });
            }
            for (auto& thread : threads) thread.join();
            CHECK(failed == 0);
        }
        CHECK(days.number("SELECT COUNT(*) FROM audit_events") == 200);
        CHECK(days.number("SELECT COUNT(DISTINCT sequence) FROM audit_events") == 200);
        CHECK(all_accesses(days.store).size() == 200);
    });
}

TEST_CASE("a database of before the days keeps all that is in it") {
    for_each_backend([](TestDatabase& test) {
        auto database = test.open();
        const auto all = audit::store_migrations();
        const auto before = all.first(static_cast<std::size_t>(
            std::find_if(all.begin(), all.end(), [](const auto& m) { return m.version == 103; }) - all.begin()));
        REQUIRE(database->migrate(before).ok());
        const auto filled = database->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
            for (unsigned i = 1; i <= 3; ++i) {
                auto record = access(id(i), AccessEventType::CLOSED);
                set(*record.mutable_opened_at(), noon - std::int64_t{i} * 20 * day);
                std::string columns, places;
                std::vector<base::sql::Value> values;
                for (const auto& field : audit::access_fields()) {
                    // Such a database had no columns for what a record has learnt since.
                    static const std::set<std::string_view> later{
                        "second_factor_at",   "device_os_id",          "device_os_version",     "device_agent_version",
                        "device_uid",         "device_time_zone",      "device_disk_encrypted", "device_firewall",
                        "device_screen_lock", "bytes_after_revocation"};
                    if (field.column.starts_with("enrolled_device_") || later.count(field.column) != 0) continue;
                    columns += std::string(field.column) + ", ";
                    places += "$" + std::to_string(values.size() + 1) + ", ";
                    const auto value = field.read(record);
                    if (const auto* text = std::get_if<std::string>(&value))
                        values.emplace_back(*text);
                    else
                        values.emplace_back(std::get<std::int64_t>(value));
                }
                values.emplace_back(base::sql::Blob{record.SerializeAsString()});
                tx.execute("INSERT INTO accesses (" + columns + "payload) VALUES (" + places + "$" +
                               std::to_string(values.size()) + ")",
                           values);
                tx.execute(
                    "INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload) VALUES "
                    "($1, $2, 3, $3, $4, $5)",
                    {gateway.to_string(), std::int64_t{i}, base::to_micros(noon), id(i).to_string(),
                     base::sql::Blob{record.SerializeAsString()}});
            }
            tx.execute(
                "INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload) VALUES "
                "($1, 4, 7, $2, '', $3)",
                {gateway.to_string(), base::to_micros(noon), base::sql::Blob{}});
            tx.execute("INSERT INTO audit_shipping (gateway_id, shipped_sequence) VALUES ($1, 4)",
                       {gateway.to_string()});
            return {};
        });
        if (!filled) FAIL(filled.error().message);
        const auto migrated = database->migrate(all);
        if (!migrated) FAIL(migrated.error().message);
        audit::Store store(*database);
        CHECK(all_accesses(store).size() == 3);
        const auto events = store.read_events(gateway, 0, 10);
        REQUIRE(events.ok());
        CHECK(events->size() == 4);
        std::int64_t own = 0;
        REQUIRE(database
                    ->read([&](base::sql::Transaction& tx) -> base::Result<void> {
                        own =
                            tx.execute("SELECT COUNT(*) FROM audit_events WHERE type = 3 AND started_at <> recorded_at")
                                .at(0)
                                .integer(0);
                        if (test.dialect() == base::sql::Dialect::postgresql)
                            CHECK(tx.execute("SELECT COUNT(*) FROM accesses_stray").at(0).integer(0) == 0);
                        return {};
                    })
                    .ok());
        CHECK(own == 3);
        const std::vector<JournalRecord> next{durable(5, access(id(5), AccessEventType::DENIED))};
        CHECK(store.ingest(gateway, next).ok());
    });
}
