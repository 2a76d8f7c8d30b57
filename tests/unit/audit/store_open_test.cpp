// What stands open at other gateways, by what they have shipped.
#include "audit/days.hpp"
#include "audit/store.hpp"
#include "catch.hpp"
#include "tests/unit/audit/explaining_database.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::Store;
using v1::AccessEventType;

namespace {

const std::string uuid = "01a00000-0000-7000-8000-00000000000";
const base::Uuid here = *base::Uuid::parse(uuid + "1");
const base::Uuid other = *base::Uuid::parse(uuid + "2");
const base::Uuid third = *base::Uuid::parse(uuid + "3");
constexpr base::Microseconds day = std::chrono::hours{24};
constexpr base::Microseconds minute = std::chrono::minutes{1};

/// Gateways that ship what they say of accesses of alice, unless it is somebody else's.
struct Fleet {
    explicit Fleet(base::sql::Database& database) : store(database), clock(noon) {}

    struct Said {
        AccessEventType::Value event = AccessEventType::OPENED;
        base::UtcTime opened = noon;
        base::Microseconds duration{0};
        std::string account = "alice-id";
    };
    void say(const base::Uuid& gateway, const base::Uuid& id, const Said& said) {
        auto record = access(id, said.event);
        record.set_account_id(said.account);
        record.set_duration_us(static_cast<std::uint64_t>(said.duration.count()));
        set(*record.mutable_opened_at(), said.opened);
        const std::vector<audit::JournalRecord> batch{durable(++sequences[gateway.to_string()], record)};
        const auto done = store.ingest(gateway, batch);
        if (!done) FAIL(done.error().message);
    }
    base::Uuid open(const base::Uuid& gateway, const Said& said) {
        const auto id = base::new_uuid(clock);
        say(gateway, id, said);
        return id;
    }
    /// Alice's, asked at `here`.
    Store::OpenElsewhere count(base::UtcTime opened_since = noon - day * 40) {
        const auto found = store.count_open_elsewhere({"alice-id", here, opened_since, noon + minute * 10 - minute * 15,
                                                       std::chrono::steady_clock::now() + std::chrono::seconds{10}});
        if (!found) FAIL(found.error().message);
        return *found;
    }

    Store store;
    base::ManualClock clock;
    std::map<std::string, std::uint64_t> sequences;
};

}  // namespace

TEST_CASE("what is open at other gateways is counted, and nothing else") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        REQUIRE(audit::prepare_days(*database, noon).ok());
        Fleet fleet(*database);
        CHECK(fleet.count().heard == 0);
        CHECK(fleet.count().gateways == 0);
        fleet.open(here, {});
        fleet.open(other, {AccessEventType::OPENED, noon, {}, "bob-id"});
        fleet.open(other, {AccessEventType::CLOSED});
        fleet.open(other, {AccessEventType::DENIED});
        CHECK(fleet.count().heard + fleet.count().unheard == 0);

        const auto one = fleet.open(other, {});
        fleet.open(other, {AccessEventType::PROGRESS});
        fleet.open(third, {});
        CHECK(fleet.count().heard == 3);
        CHECK(fleet.count().gateways == 2);
        CHECK(fleet.count().unheard == 0);
        fleet.say(other, one, {AccessEventType::CLOSED});
        CHECK(fleet.count().heard == 2);
    });
}

TEST_CASE("an access of which nothing is recorded any more is told apart") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        REQUIRE(audit::prepare_days(*database, noon).ok());
        Fleet fleet(*database);
        // Both have been open for days; one has said so lately.
        for (const auto since : {day * 33, day * 3}) {
            fleet.open(other, {AccessEventType::PROGRESS, noon - since, since});
            fleet.open(third, {AccessEventType::PROGRESS, noon - since, since - minute * 6});
        }
        const auto found = fleet.count();
        CHECK(found.heard == 2);
        CHECK(found.gateways == 1);
        CHECK(found.unheard == 2);
        // As far back as is asked for.
        CHECK(fleet.count(noon - day * 4).heard == 1);
        CHECK(fleet.count(noon - day * 4).unheard == 1);
        CHECK(fleet.count(noon - day * 2).heard == 0);
    });
}

TEST_CASE("what is open elsewhere is found by an index, in the days that are asked for") {
    for_each_backend([](TestDatabase& test) {
        if (test.dialect() != base::sql::Dialect::postgresql) return;
        auto real = open_store_database(test);
        REQUIRE(audit::prepare_days(*real, noon).ok());
        ExplainingDatabase database(*real, "COUNT(CASE");
        Fleet fleet(database);
        fleet.open(other, {});
        for (unsigned i = 0; i < 2'000; i += 100) {
            std::vector<audit::JournalRecord> batch;
            for (unsigned j = 0; j < 100; ++j) {
                auto record = access(base::new_uuid(fleet.clock), AccessEventType::CLOSED);
                record.set_account_id(j % 2 == 0 ? "alice-id" : "bob-id");
                batch.push_back(durable(i + j + 1, record));
            }
            const auto done = fleet.store.ingest(here, batch);
            if (!done) FAIL(done.error().message);
        }
        CHECK(fleet.count(noon - day).heard == 1);
        INFO(database.plan);
        CHECK(database.plan.find("Index") != std::string::npos);
        CHECK(database.plan.find("Seq Scan on accesses_2") == std::string::npos);
        CHECK(database.plan.find("accesses_20250616") == std::string::npos);  // the week ahead
    });
}
