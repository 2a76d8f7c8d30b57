// The shipper over a database that fails in each way there is.
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using base::Errc;
using v1::AccessEventType;

namespace {

constexpr base::Microseconds patience{60'000'000};

/// A database whose every transaction is asked about first.
class ScriptedDatabase final : public base::sql::Database {
public:
    using Body = std::function<base::Result<void>(base::sql::Transaction&)>;
    enum class Fault {
        none,
        before,       ///< fails, nothing happens
        after_commit  ///< happens, and is reported as failed
    };
    explicit ScriptedDatabase(base::sql::Database& real) : real_(real) {}

    /// The faults of the next writing transactions; none after them.
    void plan(std::vector<Fault> faults) {
        const std::lock_guard lock(mutex_);
        plan_ = std::move(faults);
        done_ = 0;
    }
    bool wait_planned() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return done_ >= plan_.size(); });
    }

    base::sql::Dialect dialect() const noexcept override { return real_.dialect(); }
    base::Result<void> migrate(std::span<const base::sql::Migration> m) override { return real_.migrate(m); }
    base::Result<void> read(const Body& body) override { return real_.read(body); }
    base::Result<void> transaction(const Body& body) override {
        Fault fault = Fault::none;
        {
            const std::lock_guard lock(mutex_);
            if (done_ < plan_.size()) fault = plan_[done_];
        }
        base::Result<void> result;
        if (fault != Fault::before) result = real_.transaction(body);
        {
            const std::lock_guard lock(mutex_);
            ++done_;
        }
        changed_.notify_all();
        if (fault == Fault::before) return {Errc::unavailable, "connection lost"};
        if (fault == Fault::after_commit) return {Errc::unavailable, "connection lost, commit unknown"};
        return result;
    }

private:
    base::sql::Database& real_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Fault> plan_;
    std::size_t done_ = 0;
};

std::vector<std::uint64_t> stored(audit::Store& store, const base::Uuid& gateway) {
    std::vector<std::uint64_t> out;
    for (std::uint64_t after = 0;;) {
        auto events = store.read_events(gateway, after, 500);
        if (!events) FAIL(events.error().message);
        if (events->empty()) return out;
        for (const auto& event : *events) out.push_back(event.sequence);
        after = out.back();
    }
}

std::vector<std::uint64_t> from_one_to(std::uint64_t last) {
    std::vector<std::uint64_t> out;
    for (std::uint64_t i = 1; i <= last; ++i) out.push_back(i);
    return out;
}

}  // namespace

TEST_CASE("a commit whose outcome is not known is neither lost nor doubled") {
    for_each_backend([](TestDatabase& test) {
        using Fault = ScriptedDatabase::Fault;
        auto real = open_store_database(test);
        ScriptedDatabase database(*real);
        audit::Store store(database);
        TestJournal journal;
        const base::SystemClock clock;
        std::uint64_t last = 0;
        for (int i = 0; i < 2100; ++i) {  // three batches
            auto append = audit::encode(access(base::new_uuid(journal.clock), AccessEventType::DENIED));
            journal.journal->append(std::move(append), {});
        }
        last = journal.append(access(base::new_uuid(journal.clock), AccessEventType::DENIED));
        database.plan({Fault::after_commit, Fault::before, Fault::after_commit});
        auto shipper = audit::Shipper::start(*journal.journal, store, clock);
        REQUIRE(shipper->wait_shipped(last, patience));
        CHECK(database.wait_planned());
        CHECK(stored(store, journal.journal->gateway_id()) == from_one_to(last));
        CHECK(all_accesses(store).size() == last);
        CHECK(shipper->shipped_sequence() == last);
    });
}

TEST_CASE("records that nobody can read, or no column takes, do not stop those behind them") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        TestJournal journal;
        const base::SystemClock clock;
        const auto raw = [&](audit::RecordType type, std::string payload) {
            auto sequence = journal.journal->append_and_wait({type, base::new_uuid(journal.clock), std::move(payload)});
            REQUIRE(sequence.ok());
        };
        raw(audit::RecordType::access_opened, "\xff\xff\xff");
        raw(audit::RecordType::access_closed, "");
        raw(audit::RecordType::admin, "\x01");
        raw(audit::RecordType::session, std::string(3, '\0'));
        auto odd = access(base::new_uuid(journal.clock), AccessEventType::DENIED);
        odd.mutable_device()->set_name(std::string("x\0y", 3));
        odd.set_username(std::string(60'000, 'u'));
        journal.append(odd);
        const auto last = journal.append(access(base::new_uuid(journal.clock), AccessEventType::DENIED));
        auto shipper = audit::Shipper::start(*journal.journal, store, clock);
        REQUIRE(shipper->wait_shipped(last, patience));
        CHECK(shipper->last_error().empty());
        CHECK(stored(store, journal.journal->gateway_id()) == from_one_to(last));
        CHECK(all_accesses(store).size() == 2);
    });
}

TEST_CASE("an old copy of the journal is not shipped over what the store has") {
    for_each_backend([](TestDatabase& test) {
        auto database = open_store_database(test);
        audit::Store store(*database);
        TestJournal journal;
        const base::SystemClock clock;
        journal.append(access(base::new_uuid(journal.clock), AccessEventType::DENIED));
        // The store has three events of it, the journal one.
        std::vector<audit::JournalRecord> taken;
        for (std::uint64_t i = 1; i <= 3; ++i)
            taken.push_back(durable(i, access(base::new_uuid(journal.clock), AccessEventType::DENIED)));
        const auto gateway = journal.journal->gateway_id();
        REQUIRE(store.ingest(gateway, taken).ok());
        auto shipper = audit::Shipper::start(*journal.journal, store, clock);
        for (int i = 0; i < 9; ++i)  // past the sequence where the store is: that must not hide it
            journal.append(access(base::new_uuid(journal.clock), AccessEventType::DENIED));
        eventually([&] { return !(shipper->last_error().empty()); });
        CHECK(shipper->last_error().find("up to 3") != std::string::npos);
        CHECK_FALSE(shipper->wait_shipped(4, base::Microseconds{400'000}));
        CHECK(*store.watermark(gateway) == 3);
        CHECK(journal.journal->status().first_sequence == 1);
    });
}

TEST_CASE("a shipper ends during an outage, without waiting for its end") {
    SqliteTestDatabase test;
    auto real = open_store_database(test);
    ScriptedDatabase database(*real);
    audit::Store store(database);
    TestJournal journal;
    const base::SystemClock clock;
    journal.append(access(base::new_uuid(journal.clock), AccessEventType::DENIED));
    database.plan(std::vector<ScriptedDatabase::Fault>(1000, ScriptedDatabase::Fault::before));
    auto shipper = audit::Shipper::start(*journal.journal, store, clock);
    eventually([&] { return !(shipper->last_error().empty()); });
    shipper.reset();
    CHECK(*store.watermark(journal.journal->gateway_id()) == 0);
    CHECK(journal.journal->read(0, 10, 1 << 20)->size() == 1);
    // And the next one does the rest.
    database.plan({});
    shipper = audit::Shipper::start(*journal.journal, store, clock);
    CHECK(shipper->wait_shipped(1, patience));
}
