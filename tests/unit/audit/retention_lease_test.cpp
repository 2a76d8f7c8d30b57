// Gateways that share a database run retention one at a time.
#include <atomic>
#include <barrier>
#include <future>
#include <thread>
#include <utility>

#include "audit/retention_runner.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::RetentionClass;
using audit::RetentionRun;
using audit::RetentionStore;
using base::Errc;
using State = RetentionRun::State;

namespace {

constexpr base::Microseconds day{86'400'000'000};
const base::Uuid one = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");
const base::Uuid two = *base::Uuid::parse("01a00000-0000-7000-8000-000000000002");

/// Ten accesses that may go.
struct Expired {
    explicit Expired(TestDatabase& test) : database(open_store_database(test)), store(*database) {
        const std::vector<audit::RetentionResource> setting{audit::RetentionSetting{RetentionClass::denial, 183, 200}};
        const auto unrecorded = [](const audit::RetentionChange&) { return base::Result<void>{}; };
        REQUIRE(RetentionStore(*database).apply(setting, "root", noon, unrecorded).ok());
        std::vector<audit::JournalRecord> batch;
        for (std::uint64_t n = 1; n <= 10; ++n) {
            batch.push_back(durable(n, access(base::new_uuid(base::SystemClock{}), v1::AccessEventType::DENIED)));
            batch.back().recorded_at = noon - 300 * day;
        }
        REQUIRE(store.ingest(one, batch).ok());
    }
    RetentionRun plan(RetentionStore& retention) {
        auto plan = retention.plan(noon, [] { return false; });
        if (!plan) FAIL(plan.error().message);
        plan->state = State::running;
        return *plan;
    }
    State state_of(std::int64_t number) {
        const auto runs = RetentionStore(*database).runs(10);
        if (!runs) FAIL(runs.error().message);
        for (const auto& run : *runs)
            if (run.run == number) return run.state;
        FAIL("there is no such run");
        return {};
    }

    /// As if its lease had been given so much later, or the database's clock been set back since.
    void move_lease(std::int64_t run, std::int64_t by_us) {
        const auto done = database->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
            tx.execute("UPDATE retention_runs SET lease_until = lease_until + $1 WHERE run = $2", {by_us, run});
            return {};
        });
        if (!done) FAIL(done.error().message);
    }

    std::unique_ptr<base::sql::Database> database;
    audit::Store store;
};

}  // namespace

TEST_CASE("while the run of one gateway lives, another one begins none and leaves it alone") {
    for_each_backend([](TestDatabase& test) {
        Expired expired(test);
        RetentionStore first(*expired.database, one), second(*expired.database, two);
        CHECK(*second.running_elsewhere() == std::nullopt);
        auto run = expired.plan(first);
        REQUIRE(first.begin(run).ok());
        CHECK(*first.running_elsewhere() == std::nullopt);
        CHECK(*second.running_elsewhere() == one.to_string());

        auto other = expired.plan(second);
        const auto refused = second.begin(other);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().code == Errc::failed_precondition);
        CHECK(refused.error().message.find(one.to_string()) != std::string::npos);
        REQUIRE(second.end_interrupted(noon).ok());
        CHECK(expired.state_of(run.run) == State::running);

        RetentionStore::Progress progress;
        REQUIRE(first.remove(run, 4, progress).ok());
        CHECK(progress.removed == 4);
        run.state = State::complete;
        REQUIRE(first.end(run).ok());
        other = expired.plan(second);
        CHECK(second.begin(other).ok());
    });
}

TEST_CASE("a run that gave no sign for as long as the lease is taken for dead, and removes nothing more") {
    for_each_backend([](TestDatabase& test) {
        Expired expired(test);
        RetentionStore first(*expired.database, one, base::Microseconds{0}), second(*expired.database, two);
        auto run = expired.plan(first);
        REQUIRE(first.begin(run).ok());
        CHECK(*second.running_elsewhere() == std::nullopt);
        auto other = expired.plan(second);
        REQUIRE(second.begin(other).ok());
        CHECK(expired.state_of(run.run) == State::interrupted);

        // It was only slow.
        RetentionStore::Progress progress;
        const auto late = first.remove(run, 100, progress);
        REQUIRE_FALSE(late.ok());
        CHECK(late.error().code == Errc::failed_precondition);
        CHECK(all_accesses(expired.store).size() == 10);
        run.state = State::complete;
        REQUIRE(first.end(run).ok());
        CHECK(expired.state_of(run.run) == State::interrupted);

        RetentionStore::Progress own;
        REQUIRE(second.remove(other, 100, own).ok());
        CHECK(own.removed == 10);
    });
}

TEST_CASE("what a gateway left running itself is no run that it waits for") {
    for_each_backend([](TestDatabase& test) {
        Expired expired(test);
        RetentionStore before(*expired.database, one), after(*expired.database, one);
        auto run = expired.plan(before);
        REQUIRE(before.begin(run).ok());
        auto again = expired.plan(after);
        REQUIRE(after.begin(again).ok());
        CHECK(expired.state_of(run.run) == State::interrupted);
        CHECK(expired.state_of(again.run) == State::running);
    });
}

TEST_CASE("a runner says where the other run is, and puts nothing on record") {
    for_each_backend([](TestDatabase& test) {
        Expired expired(test);
        RetentionStore elsewhere(*expired.database, two);
        auto run = expired.plan(elsewhere);
        REQUIRE(elsewhere.begin(run).ok());
        TestJournal files;
        audit::RetentionRunner runner(*files.journal, *expired.database, files.clock, {});
        const auto refused = runner.run({"root", "", ""}, true);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().code == Errc::failed_precondition);
        CHECK(refused.error().message.find(two.to_string()) != std::string::npos);
        CHECK(files.journal->durable_sequence() == 0);
        run.state = State::complete;
        REQUIRE(elsewhere.end(run).ok());
        CHECK(runner.run({"root", "", ""}, true).ok());
    });
}

TEST_CASE("of gateways that begin a run at the same moment one does") {
    for_each_backend([](TestDatabase& test) {
        Expired expired(test);
        const auto elsewhere = test.open();
        RetentionStore first(*expired.database, one), second(*elsewhere, two);
        for (int round = 0; round < 10; ++round) {
            auto of_first = expired.plan(first), of_second = expired.plan(second);
            std::barrier start(2);
            base::Result<void> second_began;
            std::thread thread([&] {
                start.arrive_and_wait();
                second_began = second.begin(of_second);
            });
            start.arrive_and_wait();
            const auto first_began = first.begin(of_first);
            thread.join();
            REQUIRE(first_began.ok() != second_began.ok());
            const auto& refused = first_began.ok() ? second_began : first_began;
            CHECK(refused.error().code == Errc::failed_precondition);
            auto& run = first_began.ok() ? of_first : of_second;
            run.state = State::complete;
            REQUIRE((first_began.ok() ? first : second).end(run).ok());
        }
    });
}

TEST_CASE("each batch prolongs the lease") {
    for_each_backend([](TestDatabase& test) {
        Expired expired(test);
        RetentionStore first(*expired.database, one), second(*expired.database, two);
        auto run = expired.plan(first);
        REQUIRE(first.begin(run).ok());
        // As if it had been given a lease long ago, and nobody had looked since.
        expired.move_lease(run.run, -RetentionStore::lease_default.count());
        CHECK(*second.running_elsewhere() == std::nullopt);
        RetentionStore::Progress progress;
        REQUIRE(first.remove(run, 4, progress).ok());
        CHECK(*second.running_elsewhere() == one.to_string());
    });
}

TEST_CASE("the clock of the database may be set: a lease from before lives no longer than twice its time") {
    for_each_backend([](TestDatabase& test) {
        Expired expired(test);
        RetentionStore first(*expired.database, one), second(*expired.database, two);
        auto run = expired.plan(first);
        REQUIRE(first.begin(run).ok());
        // Set back by less than a lease: it lives.
        expired.move_lease(run.run, RetentionStore::lease_default.count() / 2);
        auto other = expired.plan(second);
        CHECK(second.begin(other).error().code == Errc::failed_precondition);
        CHECK(expired.state_of(run.run) == State::running);
        // By a year: it does not live for a year.
        expired.move_lease(run.run, 365 * day.count());
        CHECK(*second.running_elsewhere() == std::nullopt);
        REQUIRE(second.begin(other).ok());
        CHECK(expired.state_of(run.run) == State::interrupted);
        RetentionStore::Progress progress;
        CHECK(first.remove(run, 100, progress).error().code == Errc::failed_precondition);
    });
}

TEST_CASE("a run that has lost its lease ends as failed, says why, and removes nothing") {
    for_each_backend([](TestDatabase& test) {
        Expired expired(test);
        TestJournal files;
        std::promise<RetentionRun> ended;
        std::atomic<bool> began{false};
        audit::RetentionRunner::Options options;
        options.batch_records = 3;
        options.on_removed = [&, taken = false](RetentionClass, std::uint64_t) mutable {
            if (std::exchange(taken, true)) return;
            // While it rested behind its first batch another gateway took over.
            expired.move_lease(1, -2 * RetentionStore::lease_default.count());
            RetentionStore second(*expired.database, two);
            auto other = expired.plan(second);
            began = second.begin(other).ok();
        };
        options.on_end = [&](const RetentionRun& run) { ended.set_value(run); };
        audit::RetentionRunner runner(*files.journal, *expired.database, files.clock, options);
        REQUIRE(runner.run({"root", "", ""}, true).ok());
        const auto run = ended.get_future().get();
        CHECK(began);
        CHECK(run.state == State::failed);
        CHECK(run.reason.find("taken the run for dead") != std::string::npos);
        CHECK(all_accesses(expired.store).size() == 7);
        CHECK(expired.state_of(run.run) == State::interrupted);
    });
}
