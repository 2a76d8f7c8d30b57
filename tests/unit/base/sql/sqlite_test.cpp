// What is particular to SQLite: its file.
#include <sys/stat.h>

#include <fstream>

#include "base/sql/test_database.hpp"

using namespace usher::base;
using namespace usher::base::sql;
using namespace usher::test;
using namespace std::string_literals;

namespace {

unsigned mode_of(const std::filesystem::path& file) {
    struct stat info {};
    REQUIRE(::lstat(file.c_str(), &info) == 0);
    return info.st_mode & 0777;
}

Result<void> insert_row(Database& db, const std::string& text) {
    return db.transaction([&](Transaction& t) -> Result<void> {
        t.execute("CREATE TABLE IF NOT EXISTS t (x TEXT)");
        t.execute("INSERT INTO t (x) VALUES ($1)", {text});
        return {};
    });
}

}  // namespace

TEST_CASE("the file and its companions are for their owner only, whatever the umask") {
    const mode_t before = ::umask(0);
    SqliteTestDatabase test;
    {
        auto db = test.open();
        REQUIRE(insert_row(*db, "x").ok());
        for (const char* suffix : {"", "-wal", "-shm"}) CHECK(mode_of(test.file().string() + suffix) == 0600);
    }
    ::chmod(test.file().c_str(), 0644);
    auto db = test.open();
    CHECK(mode_of(test.file()) == 0600);
    ::umask(before);
}

TEST_CASE("a symbolic link in place of the file or its log is refused") {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
        SqliteTestDatabase test;
        const auto target = test.file().parent_path() / "target";
        std::ofstream(target) << "precious";
        std::filesystem::create_symlink(target, test.file().string() + suffix);
        auto db = open_database(test.url());
        REQUIRE_FALSE(db.ok());
        CHECK(db.error().code == Errc::failed_precondition);
        CHECK(db.error().message.find("symbolic link") != std::string::npos);
        CHECK(std::filesystem::file_size(target) == 8);
    }
}

TEST_CASE("a file that is no database, or a damaged one, is data loss and says so") {
    SqliteTestDatabase test;
    std::ofstream(test.file()) << std::string(4096, 'x');
    auto db = open_database(test.url());
    REQUIRE_FALSE(db.ok());
    CHECK(db.error().code == Errc::data_loss);
    CHECK(db.error().message.find(test.file().string()) != std::string::npos);
    CHECK(db.error().message.find("backup") != std::string::npos);
}

TEST_CASE("a missing folder is named with what to do") {
    SqliteTestDatabase test;
    auto db = open_database("sqlite:" + (test.file().parent_path() / "missing" / "usher.db").string());
    REQUIRE_FALSE(db.ok());
    CHECK(db.error().code == Errc::unavailable);
    CHECK(db.error().message.find("make its folder") != std::string::npos);
}

TEST_CASE("special SQLite names are plain file names") {
    SqliteTestDatabase test;
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(test.file().parent_path());
    for (const char* name : {":memory:", "file:x?mode=memory"}) {
        auto db = open_database("sqlite:"s + name);
        CHECK(db.ok());
        CHECK(std::filesystem::is_regular_file(name));
    }
    std::filesystem::current_path(before);
}

TEST_CASE("a full disk is resource_exhausted, and the database goes on when there is room") {
    SqliteTestDatabase test;
    auto db = test.open();
    REQUIRE(insert_row(*db, "x").ok());
    const auto limit = [&](std::int64_t pages) {
        return db->transaction([&](Transaction& t) -> Result<void> {
            t.execute("PRAGMA max_page_count = " + std::to_string(pages));
            return {};
        });
    };
    REQUIRE(limit(4).ok());
    auto result = insert_row(*db, std::string(100'000, 'y'));
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == Errc::resource_exhausted);
    CHECK(result.error().message.find("make room") != std::string::npos);
    REQUIRE(limit(100'000).ok());
    CHECK(insert_row(*db, std::string(100'000, 'y')).ok());
}

TEST_CASE("what was committed is there after opening again, what was deleted is not in the file") {
    SqliteTestDatabase test;
    const std::string secret = "a name that must be forgotten";
    {
        auto db = test.open();
        REQUIRE(insert_row(*db, secret).ok());
        REQUIRE(insert_row(*db, "kept").ok());
    }
    const auto file_holds = [&](const std::string& text) {
        std::ifstream in(test.file(), std::ios::binary);
        const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
        return bytes.find(text) != std::string::npos;
    };
    CHECK(file_holds(secret));
    {
        auto db = test.open();
        REQUIRE(db->transaction([&](Transaction& t) -> Result<void> {
                      t.execute("DELETE FROM t WHERE x = $1", {secret});
                      CHECK(t.changed_rows() == 1);
                      return {};
                  }).ok());
    }
    CHECK_FALSE(file_holds(secret));
    CHECK(file_holds("kept"));
}

TEST_CASE("a statement that ends the transaction by itself is caught") {
    SqliteTestDatabase test;
    auto db = test.open();
    auto result = db->transaction([&](Transaction& t) -> Result<void> {
        t.execute("COMMIT");
        return {};
    });
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == Errc::internal);
}
