#pragma once
// Records, a journal in a folder of its own and a store, for the tests of audit.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "audit/audit.hpp"
#include "audit/journal/journal.hpp"
#include "audit/store.hpp"
#include "base/clock.hpp"
#include "catch.hpp"
#include "tests/unit/base/sql/test_database.hpp"

namespace usher::test {

inline const base::UtcTime noon = base::from_micros(1'750'000'000'000'000);

inline void set(google::protobuf::Timestamp& out, base::UtcTime time) {
    out.set_seconds(base::to_micros(time) / 1'000'000);
    out.set_nanos(static_cast<int>(base::to_micros(time) % 1'000'000 * 1000));
}

inline v1::AccessRecord access(const base::Uuid& id, v1::AccessEventType::Value event, std::uint64_t up = 0,
                               std::uint64_t down = 0) {
    v1::AccessRecord out;
    out.set_access_id(id.to_string());
    out.set_event(event);
    out.set_username("alice");
    out.set_app("crm");
    out.set_verdict(event == v1::AccessEventType::DENIED ? v1::Verdict::DENIED : v1::Verdict::ALLOWED);
    out.set_bytes_up(up);
    out.set_bytes_down(down);
    set(*out.mutable_opened_at(), noon);
    return out;
}

/// As the journal would have made it durable.
inline audit::JournalRecord durable(std::uint64_t sequence, const v1::AccessRecord& record) {
    auto append = audit::encode(record);
    return {sequence, noon + base::Microseconds{static_cast<std::int64_t>(sequence)}, append.type, append.access_id,
            std::move(append.payload)};
}

/// A real journal in a folder that goes with it.
struct TestJournal {
    base::ManualClock clock{noon};
    std::string directory;
    std::unique_ptr<audit::Journal> journal;

    TestJournal() {
        char name[] = "/tmp/usher-audit-XXXXXX";
        directory = ::mkdtemp(name);
        open();
    }
    ~TestJournal() {
        journal.reset();
        std::filesystem::remove_all(directory);
    }
    void open(std::size_t keep_shipped = 2) {
        journal.reset();
        audit::JournalOptions options;
        options.directory = directory + "/journal";
        options.segment_bytes = 64 * 1024;
        options.keep_shipped_segments = keep_shipped;
        auto opened = audit::Journal::open(options, clock);
        if (!opened) FAIL(opened.error().message);
        journal = std::move(*opened);
    }
    std::uint64_t append(const v1::AccessRecord& record) {
        auto sequence = journal->append_and_wait(audit::encode(record));
        if (!sequence) FAIL(sequence.error().message);
        return *sequence;
    }
};

/// Waits for what another thread will do; fails the test where it does not.
template <class Condition>
void eventually(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) FAIL("waited 20 s in vain");
        std::this_thread::yield();
    }
}

inline std::unique_ptr<base::sql::Database> open_store_database(TestDatabase& test) {
    auto database = test.open();
    auto migrated = database->migrate(audit::store_migrations());
    if (!migrated) FAIL(migrated.error().message);
    return database;
}

inline std::vector<v1::AccessRecord> all_accesses(audit::Store& store, const std::string& filter = "") {
    auto parsed = audit::Filter::parse(filter);
    if (!parsed) FAIL(parsed.error().message);
    std::vector<v1::AccessRecord> out;
    std::string token;
    do {
        auto page = store.list_accesses(*parsed, true, 7, token);
        if (!page) FAIL(page.error().message);
        for (auto& record : page->accesses) out.push_back(std::move(record));
        token = page->next_page_token;
    } while (!token.empty());
    return out;
}

}  // namespace usher::test
