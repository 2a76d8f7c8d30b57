#pragma once
// Databases for tests, one after the other of each kind that there is.
//
//     TEST_CASE("a name is taken once") {
//         for_each_backend([](TestDatabase& test) {
//             auto db = test.open();                 // again and again gives more Databases on the same data
//             REQUIRE(db->migrate(migrations).ok());
//             ...
//         });
//     }
//
// Each call of the body gets a fresh, empty database, which is removed afterwards. SQLite is always there; PostgreSQL
// is the server named by USHER_TEST_POSTGRESQL (postgresql://user@host:port/database, where the user may create
// databases), and is left out with a warning if that is not set. The body runs in a section named after the backend.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <pqxx/pqxx>
#include <string>

#include "base/ids.hpp"
#include "base/sql/database.hpp"
#include "base/text.hpp"
#include "catch.hpp"

namespace usher::test {

/// A fresh database of one kind, for the life of this object.
class TestDatabase {
public:
    virtual ~TestDatabase() = default;
    TestDatabase() = default;
    TestDatabase(const TestDatabase&) = delete;
    TestDatabase& operator=(const TestDatabase&) = delete;

    virtual base::sql::Dialect dialect() const = 0;
    virtual std::string url() const = 0;
    /// Opens it; fails the test where that fails.
    std::unique_ptr<base::sql::Database> open() const {
        auto db = base::sql::open_database(url());
        if (!db) FAIL("cannot open " << url() << ": " << db.error().message);
        return std::move(db).value();
    }

protected:
    static std::string random_name() {
        std::array<std::uint8_t, 8> random;
        base::random_bytes(random);
        return "usher_test_" + base::to_hex(random);
    }
};

class SqliteTestDatabase final : public TestDatabase {
public:
    SqliteTestDatabase() : folder_(std::filesystem::temp_directory_path() / random_name()) {
        std::filesystem::create_directory(folder_);
    }
    ~SqliteTestDatabase() override {
        std::error_code ignored;  // what is left behind lies in the folder for temporary files
        std::filesystem::remove_all(folder_, ignored);
    }
    base::sql::Dialect dialect() const override { return base::sql::Dialect::sqlite; }
    std::string url() const override { return "sqlite:" + file().string(); }
    std::filesystem::path file() const { return folder_ / "usher.db"; }

private:
    std::filesystem::path folder_;
};

class PostgresqlTestDatabase final : public TestDatabase {
public:
    /// `server` is the value of USHER_TEST_POSTGRESQL.
    explicit PostgresqlTestDatabase(std::string server) : server_(std::move(server)), name_(random_name()) {
        // template0, so that any cluster gives UTF-8 and the order by bytes.
        on_server("CREATE DATABASE " + name_ + " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'");
    }
    ~PostgresqlTestDatabase() override {
        try {
            on_server("DROP DATABASE IF EXISTS " + name_ + " WITH (FORCE)");
        } catch (const std::exception& e) {
            WARN("could not drop " << name_ << ": " << e.what());
        }
    }
    base::sql::Dialect dialect() const override { return base::sql::Dialect::postgresql; }
    std::string url() const override {
        const std::size_t query = std::min(server_.find('?'), server_.size());
        const std::size_t authority = server_.find("://") + 3;
        const std::size_t path = std::min(server_.find('/', authority), query);
        return server_.substr(0, path) + "/" + name_ + server_.substr(query);
    }
    const std::string& name() const { return name_; }
    /// Runs one statement outside of a transaction, as the server's administrator, in the maintenance database.
    void on_server(const std::string& sql) const { run(server_, sql); }
    /// The same in this database.
    void on_database(const std::string& sql) const { run(url(), sql); }

private:
    static void run(const std::string& url, const std::string& sql) {
        pqxx::connection connection(url);
        pqxx::nontransaction work(connection);
        work.exec(sql);
    }
    std::string server_;
    std::string name_;
};

/// The server for tests, or nullptr with a warning.
inline const char* postgresql_server() {
    const char* server = std::getenv("USHER_TEST_POSTGRESQL");
    if (server != nullptr && *server != '\0') return server;
    WARN("SKIPPED on PostgreSQL: USHER_TEST_POSTGRESQL is not set");
    return nullptr;
}

/// Calls `body(TestDatabase&)` for each kind of database, in a section of its own.
template <class Body>
void for_each_backend(Body body) {
    SECTION("sqlite") {
        SqliteTestDatabase test;
        body(static_cast<TestDatabase&>(test));
    }
    SECTION("postgresql") {
        if (const char* server = postgresql_server()) {
            PostgresqlTestDatabase test(server);
            body(static_cast<TestDatabase&>(test));
        }
    }
}

}  // namespace usher::test
