#include "base/sql/postgresql_url.hpp"

#include "base/sql/database.hpp"
#include "catch.hpp"

using namespace usher::base;
using namespace usher::base::sql;

TEST_CASE("a shown URL has no password and no parameter that may hold one") {
    const std::pair<const char*, const char*> shown[] = {
        {"postgresql://usher:hunter2@db.corp:5432/usher", "postgresql://usher@db.corp:5432/usher"},
        {"postgres://usher@db/usher", "postgresql://usher@db/usher"},
        {"postgresql:///usher?host=/run/postgresql&port=5433", "postgresql:///usher?host=/run/postgresql&port=5433"},
        {"postgresql://db/usher?password=hunter2", "postgresql://db/usher"},
        {"postgresql://db/usher?sslmode=verify-full&password=hunter2&host=hunter2",
         "postgresql://db/usher?sslmode=verify-full"},
        {"postgresql://db/usher?pass%77ord=hunter2", "postgresql://db/usher"},
        {"postgresql://u:hunter2%40x@[::1]:5432,other/usher", "postgresql://u@[::1]:5432,other/usher"},
    };
    for (const auto& [url, expected] : shown) {
        CHECK(redact_database_url(url) == expected);
        auto parsed = parse_postgresql_url(url, 5);
        REQUIRE(parsed.ok());
        CHECK(parsed->shown == expected);
        CHECK(parsed->connect.starts_with(url));
        CHECK(parsed->connect.find("connect_timeout=5&application_name=usherd") != std::string::npos);
    }
    CHECK(redact_database_url("sqlite:data/usher.db") == "sqlite:data/usher.db");
}

TEST_CASE("a URL that could be read in two ways is refused and not shown") {
    for (const char* url :
         {"postgresql://u:hunter2@ss@host/db", "postgresql://u:hunt/er2@host/db", "postgresql://u:hunt?er2@host/db",
          "postgresql://u:hunt#er2@host/db", "postgresql://host/db?password=hunter@2", "postgresql://host/db@hunter2",
          "postgresql://u:hunter2%4@host/db", "postgresql://u:hunter2%zz@host/db", "postgresql://u:hunter2%00@host/db",
          "postgresql://u:hunter2 x@host/db", "postgresql://u:hunter2\n@host/db", "postgresql://u:hunter2@ho st/db",
          "postgresql://u:hunter2@host/db?a=b?c", "mysql://u:hunter2@host", "host=db password=hunter2", ""}) {
        CHECK(redact_database_url(url) == "postgresql://...");
        auto parsed = parse_postgresql_url(url, 5);
        REQUIRE_FALSE(parsed.ok());
        CHECK(parsed.error().code == Errc::invalid_argument);
        CHECK(parsed.error().message.find("hunt") == std::string::npos);
    }
}

TEST_CASE("parameters are joined to whatever is there, and a connection always has a deadline") {
    CHECK(parse_postgresql_url("postgresql://h/d?", 5)->connect.find("?connect_timeout=5") != std::string::npos);
    CHECK(parse_postgresql_url("postgresql://h/d?sslmode=require", 5)->connect.find("require&connect_timeout=5") !=
          std::string::npos);
    CHECK(parse_postgresql_url("postgresql://h/d", 0)->connect.find("?connect_timeout=1&") != std::string::npos);
    CHECK_FALSE(parse_postgresql_url("postgresql://h/" + std::string(3000, 'd'), 5).ok());
}
