// What a tail reads of other gateways is as much as it is given, however much there is.
#include "audit/days.hpp"
#include "catch.hpp"
#include "tests/unit/audit/explaining_database.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using base::sql::Dialect;

namespace {

const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");

void execute(base::sql::Database& database, const std::vector<std::string>& statements) {
    const auto done = database.transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
        for (const auto& statement : statements) tx.execute(statement, {});
        return {};
    });
    if (!done) FAIL(done.error().message);
}

std::string numbers(Dialect dialect, int count) {
    return dialect == Dialect::sqlite ? "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
                                            std::to_string(count) + ") SELECT i FROM n) AS s"
                                      : "generate_series(1, " + std::to_string(count) + ") AS s(i)";
}

}  // namespace

TEST_CASE("a look at the watermarks reads as many gateways as are shown, by their index") {
    for_each_backend([](TestDatabase& test) {
        auto real = open_store_database(test);
        const bool sqlite = test.dialect() == Dialect::sqlite;
        const std::string id = sqlite ? "printf('01000000-0000-7000-8000-%012d', i)"
                                      : "'01000000-0000-7000-8000-' || lpad(i::text, 12, '0')";
        execute(*real, {"INSERT INTO audit_shipping (gateway_id, shipped_sequence) SELECT " + id + ", i FROM " +
                            numbers(test.dialect(), 5000),
                        "ANALYZE audit_shipping"});
        ExplainingDatabase database(*real, "FROM audit_shipping");
        const auto found = audit::Store(database).watermarks();
        REQUIRE(found.ok());
        CHECK(found->more);
        CHECK(found->of.size() == audit::fleet_gateways_max);
        CHECK(found->of.rbegin()->second == 5000);
        INFO(database.plan);
        if (sqlite)
            CHECK(database.plan.find("SCAN audit_shipping USING INDEX") != std::string::npos);
        else
            CHECK(database.plan.find("Index Scan Backward using audit_shipping_pkey") != std::string::npos);
        CHECK(database.plan.find("TEMP B-TREE") == std::string::npos);
        CHECK(database.plan.find("Sort") == std::string::npos);
    });
}

TEST_CASE("the next events of another gateway are found by an index, not by looking through what there is") {
    for_each_backend([](TestDatabase& test) {
        auto real = open_store_database(test);
        REQUIRE(audit::prepare_days(*real, noon).ok());
        audit::Store plain(*real);
        const base::ManualClock clock(noon);
        const std::vector<audit::JournalRecord> first{
            durable(1, access(base::new_uuid(clock), v1::AccessEventType::DENIED))};
        REQUIRE(plain.ingest(gateway, first).ok());
        execute(*real, {"INSERT INTO audit_events (gateway_id, sequence, type, recorded_at, access_id, payload, "
                        "started_at) SELECT gateway_id, 1 + i, type, recorded_at + i, access_id, payload, started_at "
                        "FROM audit_events, " +
                            numbers(test.dialect(), 50'000),
                        "UPDATE audit_shipping SET shipped_sequence = 50001"});
        if (test.dialect() == Dialect::postgresql) execute(*real, {"UPDATE audit_days SET last_sequence = 50001"});
        execute(*real, {"ANALYZE audit_events"});
        ExplainingDatabase database(*real, "FROM audit_events WHERE");
        const auto events = audit::Store(database).read_events(gateway, 49'000, 128, 256 * 1024);
        REQUIRE(events.ok());
        REQUIRE(events->size() == 128);
        CHECK(events->front().sequence == 49'001);
        INFO(database.plan);
        CHECK(database.plan.find("Seq Scan on audit_events_2") == std::string::npos);
        CHECK(database.plan.find("SCAN audit_events") == std::string::npos);
        if (test.dialect() == Dialect::sqlite)
            CHECK(database.plan.find("SEARCH audit_events USING") != std::string::npos);
        else
            CHECK(database.plan.find("Index Scan using audit_events_2") != std::string::npos);
    });
}
