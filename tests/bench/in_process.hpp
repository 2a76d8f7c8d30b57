#pragma once
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audit/store.hpp"
#include "auth/directory.hpp"
#include "base/sql/database.hpp"

/// What benchmarks share that have parts of a gateway in their own process.
namespace usher::bench {

/// Ends the program with 2.
[[noreturn]] inline void fail(const std::string& why) {
    std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, why.c_str());
    std::exit(2);
}

template <class T>
T must(base::Result<T> result) {
    if (!result) fail(result.error().message);
    return std::move(result).value();
}
inline void must(const base::Result<void>& result) {
    if (!result) fail(result.error().message);
}

/// User and system time.
inline double cpu_s(const rusage& used) {
    const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + time.tv_usec / 1e6; };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}
/// Of this process.
inline double cpu_s() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return cpu_s(used);
}

/// With a gateway's tables.
inline std::unique_ptr<base::sql::Database> open_database(const std::string& url) {
    auto database = must(base::sql::open_database(url));
    std::vector<base::sql::Migration> migrations;
    for (const auto& m : auth::Directory::migrations()) migrations.push_back(m);
    for (const auto& m : audit::store_migrations()) migrations.push_back(m);
    must(database->migrate(migrations));
    return database;
}

}  // namespace usher::bench
