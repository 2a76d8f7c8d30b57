// What administrators ask is answered from indexes, and who only reads can do nothing else.
#include "audit/access_fields.hpp"
#include "audit/days.hpp"
#include "base/text.hpp"
#include "catch.hpp"
#include "tests/unit/audit/explaining_database.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using base::sql::Dialect;

namespace {

/// Copies one access until there are so many, each of another user, app and destination.
void multiply(base::sql::Database& database, std::int64_t rows) {
    std::string columns, values;
    for (const auto& field : audit::access_fields()) {
        const std::string column(field.column);
        columns += column + ", ";
        if (column == "access_id")
            values += "access_id || '-' || i, ";
        else if (column == "username" || column == "app" || column == "account_id" || column == "destination_host" ||
                 column == "destination_ip")
            values += "'" + column + "-' || (i % 1000), ";
        else if (column == "opened_at")
            values += "opened_at + CAST(i AS BIGINT) * 1000000, ";
        else
            values += column + ", ";
    }
    const bool sqlite = database.dialect() == Dialect::sqlite;
    const std::string numbers = sqlite ? "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
                                             std::to_string(rows) + ") SELECT i FROM n) AS s"
                                       : "generate_series(1, " + std::to_string(rows) + ") AS s(i)";
    const auto done = database.transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
        tx.execute("INSERT INTO accesses (" + columns + "payload) SELECT " + values + "payload FROM accesses, " +
                   numbers);
        return {};
    });
    if (!done) FAIL(done.error().message);
    const auto analyzed = database.transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
        tx.execute(sqlite ? "ANALYZE" : "ANALYZE accesses");
        return {};
    });
    if (!analyzed) FAIL(analyzed.error().message);
}

}  // namespace

TEST_CASE("what administrators ask is answered from indexes, in the days that are asked for") {
    for_each_backend([](TestDatabase& test) {
        auto real = open_store_database(test);
        REQUIRE(audit::prepare_days(*real, noon).ok());
        ExplainingDatabase database(*real, "FROM accesses WHERE");
        audit::Store store(database);
        const base::Uuid gateway = *base::Uuid::parse("01a00000-0000-7000-8000-000000000001");
        const base::ManualClock clock(noon);
        const std::vector<audit::JournalRecord> batch{
            durable(1, access(base::new_uuid(clock), v1::AccessEventType::DENIED))};
        REQUIRE(store.ingest(gateway, batch).ok());
        multiply(*real, 20'000);

        const auto plan_of = [&](const std::string& filter) {
            database.plan.clear();
            const auto parsed = audit::Filter::parse(filter);
            if (!parsed) FAIL(parsed.error().message);
            const auto page = store.list_accesses(*parsed, false, 20, "");
            if (!page) FAIL(page.error().message);
            CHECK(page->accesses.size() == 20);
            return database.plan;
        };
        const bool sqlite = test.dialect() == Dialect::sqlite;
        for (const std::string column : {"username", "app", "account_id", "destination_host", "destination_ip"}) {
            INFO(column);
            const std::string filter = column + " = \"" + column + "-7\"";
            for (const auto& range :
                 {std::string(), " AND opened_at >= \"" + base::format_rfc3339(noon) + "\" AND opened_at < \"" +
                                     base::format_rfc3339(noon + base::Microseconds{86'400'000'000}) + "\""}) {
                const auto plan = plan_of(filter + range);
                INFO(plan);
                // A table of strays that is empty may be read as a whole.
                if (sqlite)
                    CHECK(plan.find("USING INDEX accesses_") != std::string::npos);
                else
                    CHECK((plan.find("Index Scan") != std::string::npos && plan.find(column) != std::string::npos));
                CHECK(plan.find("Seq Scan on accesses_2") == std::string::npos);
                CHECK(plan.find("SCAN accesses\n") == std::string::npos);
            }
        }
        const auto newest = plan_of("");
        INFO(newest);
        CHECK((newest.find("USING INDEX accesses_opened_at") != std::string::npos ||
               newest.find("opened_at_access_id_idx") != std::string::npos));
        if (!sqlite) {
            // The week ahead has tables too, and none of them is looked at.
            CHECK(newest.find("accesses_20250616") == std::string::npos);
            CHECK(newest.find("accesses_20250615") != std::string::npos);
        }
    });
}
