#include "audit/retention_runner.hpp"

#include <future>

#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::RetentionClass;
using audit::RetentionRun;
using audit::RetentionRunner;
using base::Errc;
using State = RetentionRun::State;
using v1::AccessEventType;

namespace {

constexpr base::Microseconds day{86'400'000'000};
constexpr base::Microseconds hour{3'600'000'000};
constexpr base::Microseconds first_look{1'000'000};

base::Uuid id(unsigned number) {
    base::Uuid out = *base::Uuid::parse("01a00000-0000-7000-8000-0000000a0000");
    out.bytes[15] = static_cast<std::uint8_t>(number);
    return out;
}

/// A store of accesses, one a day, and a runner on it.
struct Daily {
    explicit Daily(TestDatabase& test) : database(open_store_database(test)), store(*database) {
        audit::RetentionStore(*database)
            .apply({audit::RetentionSetting{RetentionClass::access, 183, 200}}, "root", noon,
                   [](const audit::RetentionChange&) { return base::Result<void>{}; })
            .value();
    }
    void add(std::int64_t days_ago) {
        auto append = audit::encode(access(id(static_cast<unsigned>(++sequence)), AccessEventType::CLOSED));
        const std::vector<audit::JournalRecord> batch{
            {sequence, noon - days_ago * day + hour, append.type, append.access_id, std::move(append.payload)}};
        REQUIRE(store.ingest(*base::Uuid::parse("01a00000-0000-7000-8000-000000000001"), batch).ok());
    }
    /// Its first look is due at once.
    RetentionRunner& start() {
        RetentionRunner::Options options;
        options.first_after = first_look;
        options.batch_records = 2;
        options.on_end = [this](const RetentionRun& run) {
            std::lock_guard lock(mutex);
            ended.push_back(run);
        };
        runner = std::make_unique<RetentionRunner>(*files.journal, *database, files.clock, std::move(options));
        files.clock.advance(first_look);
        return *runner;
    }
    RetentionRun wait_end(std::size_t number) {
        eventually([&] {
            std::lock_guard lock(mutex);
            return ended.size() >= number;
        });
        std::lock_guard lock(mutex);
        return ended[number - 1];
    }
    /// "action outcome" of each act in the journal.
    std::vector<std::string> acts() {
        std::vector<std::string> out;
        auto records = files.journal->read(0, 1000, 1 << 20);
        REQUIRE(records.ok());
        for (const auto& record : *records) {
            const auto event = audit::decode(files.journal->gateway_id(), record);
            REQUIRE(event.ok());
            out.push_back(event->admin().action() + " " +
                          v1::AdminRecord::Outcome::Value_Name(event->admin().outcome()) + " " +
                          event->admin().actor());
        }
        return out;
    }

    TestJournal files;
    std::unique_ptr<base::sql::Database> database;
    audit::Store store;
    std::uint64_t sequence = 0;
    std::mutex mutex;
    std::vector<RetentionRun> ended;
    std::unique_ptr<RetentionRunner> runner;
};

}  // namespace

TEST_CASE("the daily run removes a day's worth, and is on record before and after") {
    for_each_backend([](TestDatabase& test) {
        Daily daily(test);
        for (std::int64_t days = 190; days <= 201; ++days) daily.add(days);
        daily.start();
        const auto run = daily.wait_end(1);
        CHECK(run.state == State::complete);
        CHECK(run.counts.at(0).removed == 1);
        CHECK(all_accesses(daily.store).size() == 11);
        CHECK(daily.acts() == std::vector<std::string>{"retention.run DONE gateway", "retention.removed DONE gateway"});

        // One a day, also after a start.
        daily.runner.reset();
        daily.start();
        const auto asked = daily.runner->run({"root", "", ""}, false);
        REQUIRE(asked.ok());
        CHECK(asked->state == State::complete);
        CHECK(daily.runner->store().runs(10)->size() == 2);
        daily.files.clock.advance(day);
        const auto next = daily.wait_end(3);
        CHECK(next.requested_by == "gateway");
        CHECK(next.counts.at(0).removed == 1);
    });
}

TEST_CASE("a clock of 2099 removes nothing until a person confirms it") {
    for_each_backend([](TestDatabase& test) {
        Daily daily(test);
        for (std::int64_t days = 1; days <= 10; ++days) daily.add(days);
        daily.files.clock.step_utc(base::from_micros(4'077'000'000'000'000));
        auto& runner = daily.start();
        const auto stopped = daily.wait_end(1);
        CHECK(stopped.state == State::stopped);
        CHECK(stopped.reason.starts_with("class 'access': 10 records would go, of "));
        CHECK(all_accesses(daily.store).size() == 10);
        CHECK(daily.acts() == std::vector<std::string>{"retention.run FAILED gateway"});
        CHECK(runner.store().runs(1)->at(0).state == State::stopped);

        const auto preview = runner.preview();
        REQUIRE(preview.ok());
        CHECK(preview->reason == stopped.reason);
        const auto unconfirmed = runner.run({"root", "1", "2"}, false);
        REQUIRE(unconfirmed.ok());
        CHECK(unconfirmed->state == State::stopped);
        const auto confirmed = runner.run({"root", "1", "2"}, true);
        REQUIRE(confirmed.ok());
        CHECK(confirmed->state == State::running);
        const auto end = daily.wait_end(3);
        CHECK(end.state == State::complete);
        CHECK(end.counts.at(0).removed == preview->counts.at(0).plan.removable);
        CHECK(all_accesses(daily.store).empty());
    });
}

TEST_CASE("a runner that was stopped removes nothing more") {
    SqliteTestDatabase test;
    Daily daily(test);
    daily.add(201);
    daily.start().stop();
    const auto before = all_accesses(daily.store).size();
    const auto refused = daily.runner->run({"root", "", ""}, true);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::unavailable);
    CHECK(all_accesses(daily.store).size() == before);
}

TEST_CASE("a run that a crash left running is interrupted at the next look, and what is left goes") {
    for_each_backend([](TestDatabase& test) {
        Daily daily(test);
        for (std::int64_t days = 195; days <= 201; ++days) daily.add(days);
        audit::RetentionStore store(*daily.database, daily.files.journal->gateway_id());
        auto left = store.plan(noon, [] { return false; });
        REQUIRE(left.ok());
        left->state = State::running;
        left->requested_by = "gateway";
        REQUIRE(store.begin(*left).ok());
        daily.start();
        CHECK(daily.wait_end(1).state == State::complete);
        const auto runs = store.runs(10);
        REQUIRE(runs.ok());
        REQUIRE(runs->size() == 2);
        CHECK(runs->at(0).state == State::complete);
        CHECK(runs->at(1).state == State::interrupted);
        CHECK(all_accesses(daily.store).size() == 6);
    });
}
