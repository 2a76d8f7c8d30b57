// What is particular to PostgreSQL: its connections, its settings and its rights.
#include <signal.h>

#include <fstream>
#include <thread>

#include "base/sql/backend.hpp"
#include "base/sql/test_database.hpp"

using namespace usher::base;
using namespace usher::base::sql;
using namespace usher::test;
using namespace std::string_literals;

namespace {

/// Runs `body` on a fresh database, where there is a server.
template <class Body>
void on_postgresql(Body body) {
    const char* server = postgresql_server();
    if (server == nullptr) return;
    PostgresqlTestDatabase test(server);
    body(test);
}

Result<std::string> ask(Database& db, std::string_view sql) {
    std::string answer;
    auto result = db.read([&](Transaction& t) -> Result<void> {
        answer = t.execute(sql).at(0).text(0);
        return {};
    });
    if (!result) return result.error();
    return answer;
}

std::string end_others(const PostgresqlTestDatabase& test) {
    return "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + test.name() +
           "' AND application_name = 'usherd'";
}

/// The same server and database as another role.
std::string as_role(const std::string& url, const std::string& role) {
    const std::size_t authority = url.find("://") + 3;
    const std::size_t at = url.find('@', authority);
    return url.substr(0, authority) + role + ":" + role + "@" +
           (at == std::string::npos ? url.substr(authority) : url.substr(at + 1));
}

}  // namespace

TEST_CASE("a PostgreSQL session has a schema, a name and time limits of its own") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = test.open();
        CHECK(*ask(*db, "SELECT current_schema()::text") == "usher");
        CHECK(*ask(*db, "SELECT current_setting('application_name')") == "usherd");
        CHECK(*ask(*db, "SELECT current_setting('statement_timeout')") == "30s");
        CHECK(*ask(*db, "SELECT current_setting('lock_timeout')") == "10s");
        CHECK(*ask(*db, "SELECT current_setting('transaction_isolation')") == "repeatable read");
    });
}

TEST_CASE("a PostgreSQL server that may lose what it confirmed is refused") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        test.on_database("ALTER DATABASE " + test.name() + " SET synchronous_commit = off");
        auto db = open_database(test.url());
        REQUIRE_FALSE(db.ok());
        CHECK(db.error().code == Errc::failed_precondition);
        CHECK(db.error().message.find("synchronous_commit=off") != std::string::npos);
        CHECK(db.error().message.find(test.name()) != std::string::npos);
        test.on_database("ALTER DATABASE " + test.name() + " SET synchronous_commit = local");
        CHECK(open_database(test.url()).ok());
    });
}

TEST_CASE("a role that may not create the schema is told what to ask for") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        const std::string role = test.name() + "_role";
        test.on_server("CREATE ROLE " + role + " LOGIN PASSWORD '" + role + "'");
        auto db = open_database(as_role(test.url(), role));
        REQUIRE_FALSE(db.ok());
        CHECK(db.error().code == Errc::permission_denied);
        CHECK(db.error().message.find("CREATE SCHEMA usher AUTHORIZATION") != std::string::npos);
        test.on_database("CREATE SCHEMA usher");
        db = open_database(as_role(test.url(), role));
        REQUIRE_FALSE(db.ok());
        CHECK(db.error().code == Errc::permission_denied);
        CHECK(db.error().message.find("GRANT USAGE, CREATE ON SCHEMA usher") != std::string::npos);
        test.on_database("GRANT USAGE, CREATE ON SCHEMA usher TO " + role);
        db = open_database(as_role(test.url(), role));
        CHECK(db.ok());
        db = Error{Errc::internal, "closed"};
        test.on_database("DROP SCHEMA IF EXISTS usher CASCADE");
        test.on_server("DROP ROLE " + role);
    });
}

TEST_CASE("a connection lost in the pool is replaced without anybody noticing") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = test.open();
        REQUIRE(ask(*db, "SELECT 'a'::text").ok());
        test.on_server(end_others(test));
        auto answer = ask(*db, "SELECT 'b'::text");
        INFO((answer.ok() ? "" : answer.error().message));
        REQUIRE(answer.ok());
        CHECK(*answer == "b");
    });
}

TEST_CASE("a connection lost in a transaction is unavailable, nothing is kept, and the next one works") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = test.open();
        REQUIRE(db->transaction([](Transaction& t) -> Result<void> {
                      t.execute("CREATE TABLE t (x TEXT)");
                      return {};
                  }).ok());
        int runs = 0;
        auto result = db->transaction([&](Transaction& t) -> Result<void> {
            ++runs;
            t.execute("INSERT INTO t (x) VALUES ('lost')");
            test.on_server(end_others(test));
            t.execute("INSERT INTO t (x) VALUES ('lost')");
            return {};
        });
        REQUIRE_FALSE(result.ok());
        INFO(result.error().message);
        CHECK(result.error().code == Errc::unavailable);
        CHECK(result.error().message.find("commit unknown") == std::string::npos);
        CHECK(runs == 1);
        CHECK(*ask(*db, "SELECT count(*)::text FROM t") == "0");
    });
}

TEST_CASE("a connection lost at COMMIT is called unknown") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = test.open();
        REQUIRE(db->transaction([](Transaction& t) -> Result<void> {
                      t.execute("CREATE TABLE t (x TEXT)");
                      return {};
                  }).ok());
        auto result = db->transaction([&](Transaction& t) -> Result<void> {
            t.execute("INSERT INTO t (x) VALUES ('perhaps')");
            test.on_server(end_others(test));
            return {};
        });
        REQUIRE_FALSE(result.ok());
        CHECK(result.error().code == Errc::unavailable);
        CHECK(result.error().message.find("commit unknown") != std::string::npos);
        CHECK(ask(*db, "SELECT count(*)::text FROM t").ok());
    });
}

TEST_CASE("a serialization failure runs the body again, five times at most") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = test.open();
        REQUIRE(db->transaction([](Transaction& t) -> Result<void> {
                      t.execute("CREATE TABLE t (x BIGINT)");
                      t.execute("INSERT INTO t (x) VALUES (0)");
                      return {};
                  }).ok());
        for (const int collisions : {2, 100}) {
            int runs = 0;
            auto result = db->transaction([&](Transaction& t) -> Result<void> {
                t.execute("SELECT x FROM t");
                if (runs++ < collisions) test.on_database("UPDATE usher.t SET x = x + 1");
                t.execute("UPDATE t SET x = x + 1");
                return {};
            });
            if (collisions == 2) {
                CHECK(result.ok());
                CHECK(runs == 3);
            } else {
                REQUIRE_FALSE(result.ok());
                CHECK(result.error().code == Errc::unavailable);
                CHECK(runs == 5);
            }
        }
        CHECK(*ask(*db, "SELECT x::text FROM t") == "8");
    });
}

TEST_CASE("more threads than connections all get their turn") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = test.open();
        std::atomic<int> ok{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 12; ++t)
            threads.emplace_back([&] {
                for (int i = 0; i < 10; ++i) ok += ask(*db, "SELECT 'x'::text").ok() ? 1 : 0;
            });
        for (auto& thread : threads) thread.join();
        CHECK(ok == 120);
        CHECK(
            std::stoi(*ask(*db,
                           "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'usherd' AND datname "
                           "= current_database()")) <= 4);
    });
}

TEST_CASE("a server that is not there is unavailable, named without the password") {
    auto db = open_database("postgresql://usher:hunter2@127.0.0.1:1/usher", 2);
    REQUIRE_FALSE(db.ok());
    INFO(db.error().message);
    CHECK(db.error().code == Errc::unavailable);
    CHECK(db.error().message.find("postgresql://usher@127.0.0.1:1/usher") != std::string::npos);
    CHECK(db.error().message.find("hunter2") == std::string::npos);
}

TEST_CASE("a server that does not answer is given up, and asked anew on another connection") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = open_postgresql(test.url(), 5, std::chrono::milliseconds{3'000});
        REQUIRE(db.ok());
        const auto hang = [](Transaction& t) -> Result<void> {
            t.execute("SET LOCAL statement_timeout = 0");
            t.execute("SELECT pg_catalog.pg_sleep(600)::text");
            return {};
        };
        for (const auto& result : {(*db)->read(hang), (*db)->transaction(hang)}) {
            REQUIRE_FALSE(result.ok());
            INFO(result.error().message);
            CHECK(result.error().code == Errc::unavailable);
            CHECK(result.error().message.find("did not answer in time in 'SELECT pg_catalog.pg_sleep") !=
                  std::string::npos);
            CHECK(result.error().message.find("commit unknown") == std::string::npos);
        }
        CHECK(*ask(**db, "SELECT 'here'") == "here");
    });
}

TEST_CASE("a migration may take longer than a server has to answer, and what comes behind it may not") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = open_postgresql(test.url(), 5, std::chrono::milliseconds{3'000});
        REQUIRE(db.ok());
        const std::array slow{Migration{1, "slow", "SELECT 1", "SELECT pg_catalog.pg_sleep(6)"}};
        const auto migrated = (*db)->migrate(slow);
        INFO(migrated.error().message);
        REQUIRE(migrated.ok());
        const auto result = (*db)->read([](Transaction& t) -> Result<void> {
            t.execute("SELECT pg_catalog.pg_sleep(600)::text");
            return {};
        });
        REQUIRE_FALSE(result.ok());
        CHECK(result.error().code == Errc::unavailable);
    });
}

TEST_CASE("a listener whose server does not answer fails, and can be let go of") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = open_postgresql(test.url(), 5, std::chrono::milliseconds{3'000});
        REQUIRE(db.ok());
        auto listener = (*db)->listen();
        REQUIRE(listener.ok());
        const auto backend = std::stoi(*ask(**db,
                                            "SELECT max(pid)::text FROM pg_stat_activity WHERE datname = "
                                            "current_database() AND query LIKE 'LISTEN%'"));
        std::string program;
        std::ifstream("/proc/" + std::to_string(backend) + "/comm") >> program;
        if (program != "postgres") return;  // the server is not on this machine
        REQUIRE(::kill(backend, SIGSTOP) == 0);
        CHECK_FALSE((*listener)->echo().ok());
        listener->reset();
        CHECK(::kill(backend, SIGCONT) == 0);
    });
}

TEST_CASE("a commit that nothing is heard of is unknown") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = test.open();
        const auto make = [](Transaction& t) -> Result<void> {
            t.execute("CREATE TABLE slow (id BIGINT)");
            t.execute(
                "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(600); "
                "RETURN NULL; END $$");
            t.execute(
                "CREATE CONSTRAINT TRIGGER hang AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
                "EXECUTE FUNCTION hang()");
            return {};
        };
        REQUIRE(db->transaction(make).ok());
        auto hasty = open_postgresql(test.url(), 5, std::chrono::milliseconds{3'000});
        REQUIRE(hasty.ok());
        const auto result = (*hasty)->transaction([](Transaction& t) -> Result<void> {
            t.execute("SET LOCAL statement_timeout = 0");
            t.execute("INSERT INTO slow VALUES (1)");
            return {};
        });
        REQUIRE_FALSE(result.ok());
        INFO(result.error().message);
        CHECK(result.error().code == Errc::unavailable);
        CHECK(result.error().message.find("commit unknown") != std::string::npos);
    });
}

TEST_CASE("a value that does not fit its column is invalid and stays out of the error") {
    on_postgresql([](PostgresqlTestDatabase& test) {
        auto db = test.open();
        auto result = db->read([](Transaction& t) -> Result<void> {
            t.execute("SELECT $1::bigint", {"alice.secret"s});
            return {};
        });
        REQUIRE_FALSE(result.ok());
        CHECK(result.error().code == Errc::invalid_argument);
        CHECK(result.error().message.find("alice") == std::string::npos);
    });
}

TEST_CASE("a listener hears what was committed, once and in order, and nothing else") {
    for_each_backend([](TestDatabase& test) {
        auto database = test.open();
        auto listener = database->listen();
        REQUIRE(listener.ok());
        if (test.dialect() == Dialect::sqlite) {
            CHECK(*listener == nullptr);
            REQUIRE(database
                        ->transaction([](Transaction& t) -> Result<void> {
                            t.notify("to nobody");
                            return {};
                        })
                        .ok());
            return;
        }
        std::vector<std::string> said;
        for (int i = 0; i < 300; ++i) {
            const auto message = "message " + std::to_string(i);
            const bool kept = i % 3 != 0;
            const auto done = database->transaction([&](Transaction& t) -> Result<void> {
                t.notify(message);
                if (!kept) return {Errc::failed_precondition, "not this one"};
                return {};
            });
            CHECK(done.ok() == kept);
            if (kept) said.push_back(message);
        }
        // When the echo is back, everything that was committed before it has been heard.
        REQUIRE((*listener)->echo().ok());
        std::vector<std::string> heard;
        for (bool echo = false; !echo;) {
            auto some = (*listener)->wait(std::chrono::seconds{20});
            REQUIRE(some.ok());
            REQUIRE((some->echo || !some->messages.empty()));
            heard.insert(heard.end(), some->messages.begin(), some->messages.end());
            echo = some->echo;
        }
        CHECK(heard == said);

        (*listener)->wake();
        const auto woken = (*listener)->wait(std::chrono::hours{1});
        REQUIRE(woken.ok());
        CHECK(woken->messages.empty());
        CHECK_FALSE(woken->echo);
        (*listener)->cut();
        bool lost = false;
        for (int i = 0; i < 3 && !lost; ++i) lost = !(*listener)->wait(std::chrono::hours{1}).ok();
        CHECK(lost);
        CHECK_FALSE((*listener)->echo().ok());
    });
}
