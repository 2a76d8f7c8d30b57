#pragma once
// A store with records, and a receiver that does as it is told, for the tests of sinks.
#include <algorithm>
#include <chrono>
#include <mutex>
#include <set>

#include "audit/sinks/outlet.hpp"
#include "audit/sinks/sink_store.hpp"
#include "tests/unit/audit/records.hpp"

namespace usher::test {

/// Thread-safe.
class FakeReceiver {
public:
    base::Result<void> take(std::span<const v1::AuditEvent> events) {
        std::lock_guard lock(mutex_);
        ++tries;
        tried_at_.push_back(std::chrono::steady_clock::now());
        pause_of_last_ = pause;
        if (!down_.empty()) return base::Error{base::Errc::unavailable, down_};
        for (const auto& event : events)
            if (refused_.count(event.sequence()) > 0) return base::Error{base::Errc::invalid_argument, "not this one"};
        for (const auto& event : events) taken_.push_back(event.sequence());
        if (!loses_answers_) return {};
        return base::Error{base::Errc::unavailable, "the answer was lost"};
    }
    void set_down(const std::string& why) {
        std::lock_guard lock(mutex_);
        down_ = why;
    }
    void lose_answers(bool lose) {
        std::lock_guard lock(mutex_);
        loses_answers_ = lose;
    }
    void refuse(std::set<std::uint64_t> sequences) {
        std::lock_guard lock(mutex_);
        refused_ = std::move(sequences);
    }
    std::vector<std::uint64_t> taken() const {
        std::lock_guard lock(mutex_);
        return taken_;
    }
    std::vector<std::chrono::steady_clock::time_point> times() const {
        std::lock_guard lock(mutex_);
        return tried_at_;
    }
    base::Microseconds pause_of_last() const {
        std::lock_guard lock(mutex_);
        return pause_of_last_;
    }
    std::atomic<std::size_t> tries = 0;
    std::atomic<base::Microseconds> pause{};  ///< that it asks for, when it is down, from the next try on

private:
    mutable std::mutex mutex_;
    std::string down_;
    bool loses_answers_ = false;
    std::set<std::uint64_t> refused_;
    std::vector<std::uint64_t> taken_;
    std::vector<std::chrono::steady_clock::time_point> tried_at_;
    base::Microseconds pause_of_last_{};
};

class FakeOutlet final : public audit::sinks::Outlet {
public:
    explicit FakeOutlet(FakeReceiver& receiver) : receiver_(receiver) {}
    base::Result<void> deliver(std::span<const v1::AuditEvent> events) override { return receiver_.take(events); }
    base::Microseconds pause() const noexcept override { return receiver_.pause_of_last(); }
    void stop() noexcept override {}

private:
    FakeReceiver& receiver_;
};

/// A store that has been shipped to.
struct StoreWithRecords {
    explicit StoreWithRecords(TestDatabase& test)
        : database(open_store_database(test)), store(*database), cursors(*database, clock) {}

    /// Ships `count` denials behind those that are there.
    void ship(std::size_t count) {
        std::vector<audit::JournalRecord> records;
        for (std::size_t i = 0; i < count; ++i)
            records.push_back(durable(++shipped, access(base::new_uuid(clock), v1::AccessEventType::DENIED)));
        auto done = store.ingest(gateway, records);
        if (!done) FAIL(done.error().message);
    }
    /// One record that nobody can read.
    void ship_unreadable() {
        audit::JournalRecord record = durable(++shipped, access(base::new_uuid(clock), v1::AccessEventType::DENIED));
        record.payload = "\xff\xff\xff";
        auto done = store.ingest(gateway, {&record, 1});
        if (!done) FAIL(done.error().message);
    }
    void run(const char* sql) {
        auto done = database->transaction([&](base::sql::Transaction& tx) -> base::Result<void> {
            tx.execute(sql);
            return {};
        });
        if (!done) FAIL(done.error().message);
    }
    std::uint64_t cursor(const std::string& sink = "siem") {
        auto found = cursors.cursor(sink, gateway);
        if (!found) FAIL(found.error().message);
        return *found;
    }
    std::vector<std::uint64_t> parked(const std::string& sink = "siem") {
        auto found = cursors.list_parked(sink, {}, 1000);
        if (!found) FAIL(found.error().message);
        std::vector<std::uint64_t> out;
        for (const auto& each : *found) out.push_back(each.sequence);
        return out;
    }

    base::ManualClock clock{noon};
    const base::Uuid gateway = base::new_uuid(clock);
    std::unique_ptr<base::sql::Database> database;
    audit::Store store;
    audit::sinks::SinkStore cursors;
    std::atomic<std::uint64_t> shipped{0};
};

inline std::vector<std::uint64_t> numbers(std::uint64_t from, std::uint64_t to) {
    std::vector<std::uint64_t> out;
    for (auto i = from; i <= to; ++i) out.push_back(i);
    return out;
}

}  // namespace usher::test
