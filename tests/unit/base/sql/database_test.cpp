#include "base/sql/database.hpp"

#include <atomic>
#include <limits>
#include <thread>

#include "base/sql/backend.hpp"
#include "base/sql/test_database.hpp"

using namespace usher::base;
using namespace usher::base::sql;
using namespace usher::test;
using namespace std::string_literals;

namespace {

constexpr Migration kMigrations[] = {
    {1, "things",
     "CREATE TABLE things (id TEXT PRIMARY KEY, size BIGINT, share DOUBLE PRECISION, raw BLOB);\n"
     "CREATE TABLE parts (thing TEXT NOT NULL REFERENCES things (id), n BIGINT NOT NULL CHECK (n >= 0));\n",
     "CREATE TABLE things (id TEXT PRIMARY KEY, size BIGINT, share DOUBLE PRECISION, raw BYTEA);\n"
     "CREATE TABLE parts (thing TEXT NOT NULL REFERENCES things (id), n BIGINT NOT NULL CHECK (n >= 0))"},
    {2, "counter", "CREATE TABLE counter (n BIGINT NOT NULL);\nINSERT INTO counter (n) VALUES (0);\n", ""},
};

std::unique_ptr<Database> open_migrated(TestDatabase& test) {
    auto db = test.open();
    const auto migrated = db->migrate(kMigrations);
    if (!migrated) FAIL(migrated.error().message);
    return db;
}

/// Runs one statement in its own transaction.
Result<Rows> run(Database& db, std::string_view sql, std::vector<Value> values = {}) {
    Rows rows;
    auto result = db.transaction([&](Transaction& t) -> Result<void> {
        rows = t.execute(sql, std::span<const Value>(values));
        return {};
    });
    if (!result) return result.error();
    return rows;
}

Errc code_of(Database& db, std::string_view sql, std::vector<Value> values = {}) {
    auto result = run(db, sql, std::move(values));
    REQUIRE_FALSE(result.ok());
    INFO(result.error().message);
    CHECK_FALSE(result.error().message.empty());
    return result.error().code;
}

std::int64_t count(Database& db, std::string_view table) {
    auto rows = run(db, "SELECT count(*) FROM " + std::string(table));
    if (!rows) FAIL(rows.error().message);
    return (*rows)[0].integer(0);
}

}  // namespace

TEST_CASE("values come back as they were bound") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        std::string all_bytes;
        for (int i = 0; i < 256; ++i) all_bytes += static_cast<char>(i);
        const std::string text = "it's \"quoted\" \\x00 $1 ; -- \xc3\xa9\xf0\x9f\x8e\xad\n\t\x01";
        const auto min = std::numeric_limits<std::int64_t>::min();
        const auto max = std::numeric_limits<std::int64_t>::max();
        REQUIRE(run(*db, "INSERT INTO things (id, size, share, raw) VALUES ($1, $2, $3, $4)",
                    {text, min, 0.1, Blob{all_bytes}})
                    .ok());
        REQUIRE(
            run(*db, "INSERT INTO things (id, size, share, raw) VALUES ($1, $2, $3, $4)", {""s, max, -1e300, Blob{}})
                .ok());
        REQUIRE(run(*db, "INSERT INTO things (id, size, share, raw) VALUES ($1, $2, $3, $4)",
                    {"null"s, std::monostate{}, std::monostate{}, std::monostate{}})
                    .ok());
        auto rows = run(*db, "SELECT id, size, share, raw FROM things ORDER BY size");
        REQUIRE(rows.ok());
        REQUIRE(rows->size() == 3);
        const auto by_id = [&](const std::string& id) {
            for (const Row& row : *rows)
                if (row.text(0) == id) return row;
            FAIL("no row " << id);
            return (*rows)[0];
        };
        CHECK(by_id(text).integer(1) == min);
        CHECK(by_id(text).blob(3) == all_bytes);
        CHECK(by_id("").integer(1) == max);
        CHECK(by_id("").blob(3).empty());
        CHECK_FALSE(by_id("").is_null(3));
        const Row null = by_id("null");
        CHECK(null.is_null(1));
        CHECK(null.is_null(2));
        CHECK(null.is_null(3));
        CHECK_FALSE(null.maybe_integer(1));
        CHECK_FALSE(null.maybe_text(3));
        CHECK(null.maybe_text(0) == "null");
        CHECK(null.size() == 4);

        rows = run(*db,
                   "SELECT count(*), sum(size), EXISTS (SELECT 1 FROM things), max(id) FROM things WHERE size > $1 OR "
                   "size IS NULL",
                   {std::int64_t{0}});
        REQUIRE(rows.ok());
        CHECK((*rows)[0].integer(0) == 2);
        CHECK((*rows)[0].integer(1) == max);
        CHECK((*rows)[0].integer(2) == 1);
        CHECK((*rows)[0].text(3) == "null");
    });
}

TEST_CASE("parameters are taken by their number, in any order and more than once") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        auto rows =
            run(*db, "INSERT INTO things (size, id) VALUES ($2, $1) RETURNING id, size", {"a"s, std::int64_t{7}});
        REQUIRE(rows.ok());
        CHECK((*rows)[0].text(0) == "a");
        CHECK((*rows)[0].integer(1) == 7);
        rows = run(*db, "SELECT id FROM things WHERE size >= $1 AND size <= $1", {std::int64_t{7}});
        REQUIRE(rows.ok());
        CHECK(rows->size() == 1);
        CHECK(code_of(*db, "SELECT id FROM things WHERE size = $1") == Errc::internal);
        CHECK(code_of(*db, "SELECT id FROM things WHERE size = $1", {std::int64_t{1}, std::int64_t{2}}) ==
              Errc::internal);
        CHECK(code_of(*db, "SELECT 1; SELECT 2") == Errc::internal);
        CHECK(code_of(*db, "SELEKT 1") == Errc::internal);
        CHECK(code_of(*db, "SELECT * FROM nowhere") == Errc::internal);
    });
}

TEST_CASE("text that a database would not keep as it is, is refused") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        for (const std::string& bad : {"a\0b"s, "\0"s, "\xff"s, "\xc3"s, "\xed\xa0\x80"s})
            CHECK(code_of(*db, "INSERT INTO things (id) VALUES ($1)", {bad}) == Errc::invalid_argument);
        CHECK(count(*db, "things") == 0);
    });
}

TEST_CASE("a text holding SQL stays a text") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        const std::string hostile = "'); DROP TABLE things; --";
        REQUIRE(run(*db, "INSERT INTO things (id) VALUES ($1)", {hostile}).ok());
        auto rows = run(*db, "SELECT id FROM things WHERE id = $1", {hostile});
        REQUIRE(rows.ok());
        CHECK(rows->size() == 1);
    });
}

TEST_CASE("constraints have their codes, and errors name no value") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        REQUIRE(run(*db, "INSERT INTO things (id) VALUES ($1)", {"alice.secret"s}).ok());
        CHECK(code_of(*db, "INSERT INTO things (id) VALUES ($1)", {"alice.secret"s}) == Errc::already_exists);
        CHECK(code_of(*db, "INSERT INTO parts (thing, n) VALUES ($1, 1)", {"nobody"s}) == Errc::failed_precondition);
        REQUIRE(run(*db, "INSERT INTO parts (thing, n) VALUES ($1, 1)", {"alice.secret"s}).ok());
        CHECK(code_of(*db, "DELETE FROM things WHERE id = $1", {"alice.secret"s}) == Errc::failed_precondition);
        CHECK(code_of(*db, "INSERT INTO parts (thing, n) VALUES ($1, -1)", {"alice.secret"s}) ==
              Errc::invalid_argument);
        CHECK(code_of(*db, "INSERT INTO parts (thing, n) VALUES (NULL, 1)") == Errc::invalid_argument);
        auto twice = run(*db, "INSERT INTO things (id) VALUES ($1)", {"alice.secret"s});
        CHECK(twice.error().message.find("alice") == std::string::npos);
        CHECK(twice.error().message.find("things") != std::string::npos);
    });
}

TEST_CASE("a body that fails in any way leaves nothing behind") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        const auto insert = [](Transaction& t) { t.execute("INSERT INTO things (id) VALUES ($1)", {"x"s}); };
        auto result = db->transaction([&](Transaction& t) -> Result<void> {
            insert(t);
            return {Errc::not_found, "by value"};
        });
        CHECK(result.error().code == Errc::not_found);
        CHECK(result.error().message == "by value");
        result = db->transaction([&](Transaction& t) -> Result<void> {
            insert(t);
            throw std::runtime_error("thrown");
        });
        CHECK(result.error().code == Errc::internal);
        CHECK(result.error().message.find("thrown") != std::string::npos);
        result = db->transaction([&](Transaction& t) -> Result<void> {
            insert(t);
            (void)t.execute("SELECT id FROM things")[0].integer(0);
            return {};
        });
        CHECK(result.error().code == Errc::data_loss);
        CHECK(result.error().message.find("column 1") != std::string::npos);
        CHECK_THROWS_AS((void)db->transaction([&](Transaction& t) -> Result<void> {
            insert(t);
            throw 42;
        }),
                        int);
        CHECK(count(*db, "things") == 0);
    });
}

TEST_CASE("a failed statement dooms the transaction even if the body goes on") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        auto result = db->transaction([&](Transaction& t) -> Result<void> {
            t.execute("INSERT INTO things (id) VALUES ('a')");
            try {
                t.execute("INSERT INTO things (id) VALUES ('a')");
            } catch (const SqlError&) {
            }
            return {};
        });
        REQUIRE_FALSE(result.ok());
        CHECK(result.error().code == Errc::already_exists);
        CHECK(count(*db, "things") == 0);
    });
}

TEST_CASE("changed rows are those of the last change") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        auto result = db->transaction([&](Transaction& t) -> Result<void> {
            t.execute("INSERT INTO things (id, size) VALUES ('a', 1), ('b', 2), ('c', 3)");
            CHECK(t.changed_rows() == 3);
            t.execute("SELECT id FROM things");
            CHECK(t.changed_rows() == 3);
            t.execute("UPDATE things SET size = 9 WHERE size >= $1 RETURNING id", {std::int64_t{2}});
            CHECK(t.changed_rows() == 2);
            t.execute("INSERT INTO things (id) VALUES ('a') ON CONFLICT DO NOTHING");
            CHECK(t.changed_rows() == 0);
            t.execute(
                "WITH big AS (SELECT id FROM things WHERE size = 9) UPDATE things SET size = 1 WHERE id IN (SELECT id "
                "FROM "
                "big)");
            CHECK(t.changed_rows() == 2);
            t.execute("DELETE FROM things");
            CHECK(t.changed_rows() == 3);
            return {};
        });
        CHECK(result.ok());
    });
}

TEST_CASE("reading cannot write, and sees one snapshot") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        auto written = db->read([](Transaction& t) -> Result<void> {
            t.execute("INSERT INTO things (id) VALUES ('a')");
            return {};
        });
        REQUIRE_FALSE(written.ok());
        CHECK(written.error().code == Errc::failed_precondition);
        auto result = db->read([&](Transaction& t) -> Result<void> {
            CHECK(t.execute("SELECT count(*) FROM things")[0].integer(0) == 0);
            std::thread([&] { CHECK(run(*db, "INSERT INTO things (id) VALUES ('later')").ok()); }).join();
            CHECK(t.execute("SELECT count(*) FROM things")[0].integer(0) == 0);
            return {};
        });
        CHECK(result.ok());
        CHECK(count(*db, "things") == 1);
    });
}

TEST_CASE("a transaction inside of another is an error, not a deadlock") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        auto result = db->transaction([&](Transaction&) -> Result<void> {
            CHECK(db->read([](Transaction&) { return Result<void>(); }).error().code == Errc::internal);
            CHECK(db->migrate(kMigrations).error().code == Errc::internal);
            return db->transaction([](Transaction&) { return Result<void>(); });
        });
        CHECK(result.error().code == Errc::internal);
        CHECK(count(*db, "things") == 0);
    });
}

TEST_CASE("no increment of many threads and two programs is lost") {
    for_each_backend([](TestDatabase& test) {
        auto first = open_migrated(test);
        auto second = test.open();
        std::atomic<int> done{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                Database& db = t % 2 == 0 ? *first : *second;
                for (int i = 0; i < 25; ++i) {
                    auto result = db.transaction([](Transaction& tx) -> Result<void> {
                        const auto n = tx.execute("SELECT n FROM counter")[0].integer(0);
                        tx.execute("UPDATE counter SET n = $1", {n + 1});
                        return {};
                    });
                    if (result.ok()) ++done;
                }
            });
        for (auto& thread : threads) thread.join();
        // Under contention some may give up, and say so; the others count.
        CHECK(done >= 50);
        auto rows = run(*first, "SELECT n FROM counter");
        REQUIRE(rows.ok());
        CHECK((*rows)[0].integer(0) == done);
    });
}

TEST_CASE("more statements than are kept prepared go on working") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        for (int round = 0; round < 2; ++round) {
            auto result = db->read([&](Transaction& t) -> Result<void> {
                for (int i = 0; i < 250; ++i) {
                    const auto rows = t.execute("SELECT " + std::to_string(i) +
                                                " + size FROM things UNION ALL SELECT " + std::to_string(i));
                    if (rows.at(0).integer(0) != i) return {Errc::internal, "wrong statement"};
                }
                return {};
            });
            INFO((result.ok() ? "" : result.error().message));
            CHECK(result.ok());
        }
    });
}

TEST_CASE("COLLATE \"C\" sorts by bytes and LIKE minds case") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        REQUIRE(run(*db, "INSERT INTO things (id) VALUES ('b'), ('A'), ('a'), ('\xc3\xa9'), ('B')").ok());
        auto rows = run(*db, "SELECT id FROM things ORDER BY id COLLATE \"C\"");
        REQUIRE(rows.ok());
        std::string order;
        for (const Row& row : *rows) order += row.text(0);
        CHECK(order == "ABab\xc3\xa9");
        rows = run(*db, "SELECT id FROM things WHERE id LIKE 'a%'");
        CHECK(rows->size() == 1);
    });
}

TEST_CASE("migrations run once, in order, and are recorded") {
    for_each_backend([](TestDatabase& test) {
        auto db = test.open();
        REQUIRE(db->migrate(std::span(kMigrations, 1)).ok());
        REQUIRE(db->migrate(kMigrations).ok());
        REQUIRE(db->migrate(kMigrations).ok());
        auto rows = run(*db, "SELECT version, name, applied_at FROM schema_migrations ORDER BY version");
        REQUIRE(rows.ok());
        REQUIRE(rows->size() == 2);
        CHECK((*rows)[1].integer(0) == 2);
        CHECK((*rows)[1].text(1) == "counter");
        CHECK((*rows)[1].integer(2) > 1'600'000'000'000'000);
        CHECK(count(*db, "counter") == 1);
    });
}

TEST_CASE("a number may be added below one that has run") {
    for_each_backend([](TestDatabase& test) {
        auto db = test.open();
        const Migration hundred{100, "audit", "CREATE TABLE audit (n BIGINT)", ""};
        const Migration before[] = {kMigrations[0], hundred};
        const Migration after[] = {kMigrations[0], kMigrations[1], hundred};
        REQUIRE(db->migrate(before).ok());
        REQUIRE(db->migrate(after).ok());
        CHECK(count(*db, "counter") == 1);
    });
}

TEST_CASE("a database newer than the program, or of another one, is refused") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        auto older = db->migrate(std::span(kMigrations, 1));
        REQUIRE_FALSE(older.ok());
        CHECK(older.error().code == Errc::failed_precondition);
        CHECK(older.error().message.find("version 2") != std::string::npos);
        CHECK(older.error().message.find("up to 1") != std::string::npos);
        const Migration other[] = {kMigrations[0], {2, "different", "SELECT 1", ""}};
        CHECK(db->migrate(other).error().code == Errc::failed_precondition);
        const Migration falling[] = {kMigrations[1], kMigrations[0]};
        CHECK(db->migrate(falling).error().code == Errc::invalid_argument);
    });
}

TEST_CASE("a migration that fails in its middle leaves nothing and names itself") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        const Migration broken[] = {
            kMigrations[0],
            kMigrations[1],
            {3, "broken", "CREATE TABLE halfway (n BIGINT);\nCREATE TABEL typo (n BIGINT)", ""}};
        auto result = db->migrate(broken);
        REQUIRE_FALSE(result.ok());
        CHECK(result.error().message.find("migration 3 (broken)") != std::string::npos);
        const Migration mended[] = {
            kMigrations[0], kMigrations[1], {3, "mended", "CREATE TABLE halfway (n BIGINT)", ""}};
        CHECK(db->migrate(mended).ok());
        CHECK(count(*db, "halfway") == 0);
    });
}

TEST_CASE("two programs that migrate at once do it once") {
    for_each_backend([](TestDatabase& test) {
        std::vector<std::unique_ptr<Database>> programs;
        for (int i = 0; i < 4; ++i) programs.push_back(test.open());
        std::vector<std::thread> threads;
        std::atomic<int> ok{0};
        for (auto& program : programs)
            threads.emplace_back([&] {
                auto result = program->migrate(kMigrations);
                if (result.ok()) {
                    ++ok;
                } else {
                    static std::mutex mutex;
                    const std::lock_guard lock(mutex);
                    UNSCOPED_INFO(result.error().message);
                }
            });
        for (auto& thread : threads) thread.join();
        CHECK(ok == 4);
        CHECK(count(*programs[0], "counter") == 1);
    });
}

TEST_CASE("prepared statements outlive a change of the schema by another program") {
    for_each_backend([](TestDatabase& test) {
        auto db = open_migrated(test);
        auto other = test.open();
        REQUIRE(run(*db, "SELECT * FROM counter").ok());
        REQUIRE(run(*other, "ALTER TABLE counter ADD COLUMN m BIGINT").ok());
        auto rows = run(*db, "SELECT * FROM counter");
        INFO((rows.ok() ? "" : rows.error().message));
        REQUIRE(rows.ok());
        CHECK((*rows)[0].size() == 2);
    });
}

TEST_CASE("a migration's statements are split at the ends of lines") {
    const auto parts = split_statements("  CREATE TABLE a (x TEXT DEFAULT ';');\n\n;\nCREATE\nTABLE b (y TEXT);  \n");
    REQUIRE(parts.size() == 2);
    CHECK(parts[0] == "CREATE TABLE a (x TEXT DEFAULT ';')");
    CHECK(parts[1] == "CREATE\nTABLE b (y TEXT)");
    CHECK(split_statements(" \n;\n").empty());
}

TEST_CASE("a database URL of no known kind is refused without showing it") {
    for (const char* url : {"", "mysql://root:hunter2@host/db", "hunter2", "SQLITE:x", "sqlite:"}) {
        auto db = open_database(url);
        REQUIRE_FALSE(db.ok());
        CHECK(db.error().code == Errc::invalid_argument);
        CHECK(db.error().message.find("hunter2") == std::string::npos);
    }
}
