// The newest events are read once, however many follow.
#include "audit/recent_events.hpp"

#include <atomic>
#include <thread>

#include "audit/fleet_reader.hpp"
#include "catch.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::NamedFilter;
using audit::RecentEvents;
using v1::AccessEventType;

namespace {

/// A real journal that counts how often it is read. Thread-safe.
class CountedJournal final : public audit::Journal {
public:
    explicit CountedJournal(audit::Journal& journal) : journal_(journal) {}
    mutable std::atomic<int> reads{0};

    base::Result<std::vector<audit::JournalRecord>> read(std::uint64_t after, std::size_t max_records,
                                                         std::size_t max_bytes) const override {
        ++reads;
        return journal_.read(after, max_records, max_bytes);
    }
    base::Uuid gateway_id() const noexcept override { return journal_.gateway_id(); }
    void append(audit::JournalAppend record, Done done) override {
        journal_.append(std::move(record), std::move(done));
    }
    base::Result<std::uint64_t> append_and_wait(audit::JournalAppend record) override {
        return journal_.append_and_wait(std::move(record));
    }
    audit::JournalStatus status() const override { return journal_.status(); }
    std::uint64_t durable_sequence() const noexcept override { return journal_.durable_sequence(); }
    std::uint64_t wait_beyond(std::uint64_t after, base::Microseconds timeout) const override {
        return journal_.wait_beyond(after, timeout);
    }
    std::uint64_t add_listener(std::function<void()> listener) override {
        return journal_.add_listener(std::move(listener));
    }
    void remove_listener(std::uint64_t id) override { journal_.remove_listener(id); }
    void mark_shipped(std::uint64_t sequence) override { journal_.mark_shipped(sequence); }
    std::vector<audit::JournalRecord> take_open_accesses() override { return journal_.take_open_accesses(); }

private:
    audit::Journal& journal_;
};

NamedFilter filter(const std::string& text) {
    auto parsed = audit::Filter::parse(text);
    if (!parsed) FAIL(parsed.error().message);
    return {text, *parsed};
}

struct Followed {
    SqliteTestDatabase test;
    std::unique_ptr<base::sql::Database> database = open_store_database(test);
    audit::Store store{*database};
    TestJournal journal;
    CountedJournal counted{*journal.journal};
    RecentEvents recent;

    explicit Followed(std::size_t bytes_max = audit::recent_bytes_max,
                      std::size_t made_bytes_max = audit::recent_made_bytes_max)
        : recent(counted, store, journal.clock, bytes_max, made_bytes_max) {}
    base::Uuid gateway() const { return counted.gateway_id(); }
    void append(int count, std::size_t host_bytes = 10) {
        auto record = access(base::new_uuid(journal.clock), AccessEventType::DENIED);
        record.set_destination_host(std::string(host_bytes, 'h'));
        for (int i = 0; i < count; ++i) {
            record.set_username(i % 2 == 0 ? "even" : "odd");
            if (i + 1 < count)
                counted.append(audit::encode(record), {});
            else
                journal.append(record);
        }
    }
    RecentEvents::Found behind(std::uint64_t after) {
        auto found = recent.behind(gateway(), after, filter(""));
        if (!found) FAIL(found.error().message);
        return *found;
    }
    audit::FleetReader reader(const std::string& text = {}) { return {counted, store, filter(text), &recent}; }
};

/// The sequences that it is given up to the end; `all` false: of one batch.
std::vector<std::uint64_t> sequences(audit::FleetReader& reader, bool all = true) {
    std::vector<std::uint64_t> out;
    for (bool at_end = false; !at_end;) {
        const auto batch = reader.next(false);
        if (!batch) FAIL(batch.error().message);
        for (const auto& item : batch->items) out.push_back(item.event().sequence());
        for (const auto& events : batch->shared)
            for (auto i = events.begin; i < events.end; ++i) out.push_back(events.block->first() + (*events.picks)[i]);
        at_end = batch->at_end || !all;
    }
    return out;
}

std::vector<std::uint64_t> numbers(std::uint64_t first, std::uint64_t last, std::uint64_t step = 1) {
    std::vector<std::uint64_t> out;
    for (auto n = first; n <= last; n += step) out.push_back(n);
    return out;
}

}  // namespace

TEST_CASE("whoever comes first reads, and the others are given what it has read") {
    Followed followed;
    followed.append(10);
    const auto first = followed.behind(0);
    REQUIRE(first.block);
    CHECK(first.block->last() == 10);
    CHECK(followed.behind(0).block == first.block);
    CHECK(followed.behind(7).block == first.block);
    CHECK(followed.counted.reads == 1);
    CHECK(followed.behind(10).at_end);
    followed.append(5);
    const auto second = followed.behind(10);
    REQUIRE(second.block);
    CHECK(second.block->first() == 11);
    CHECK(followed.behind(9).block == first.block);
    CHECK(followed.behind(14).block == second.block);
    CHECK(followed.counted.reads == 2);
}

TEST_CASE("many who follow by filters of their own read the journal as often as one does") {
    Followed followed;
    std::vector<audit::FleetReader> readers;
    for (int i = 0; i < 30; ++i)
        readers.push_back(followed.reader(i % 3 == 0 ? "" : i % 3 == 1 ? "username = \"odd\"" : "username = \"even\""));
    for (auto& reader : readers) REQUIRE(reader.start_now(false).ok());
    for (std::uint64_t round = 0; round < 5; ++round) {
        followed.append(20);
        followed.counted.reads = 0;
        const auto first = 20 * round + 1, last = 20 * round + 20;
        for (std::size_t i = 0; i < readers.size(); ++i)
            CHECK(sequences(readers[i]) == (i % 3 == 0   ? numbers(first, last)
                                            : i % 3 == 1 ? numbers(first + 1, last, 2)
                                                         : numbers(first, last, 2)));
        CHECK(followed.counted.reads == 1);
    }
}

TEST_CASE("who is behind reads alone, catches up and follows with the others") {
    Followed followed;
    followed.append(600);
    auto head = followed.reader(), behind = followed.reader();
    REQUIRE(head.start_after({{{followed.gateway(), 590}}, false}, false).ok());
    REQUIRE(behind.start_after({{{followed.gateway(), 0}}, false}, false).ok());
    CHECK(sequences(head) == numbers(591, 600));
    const auto batch = behind.next(false);
    REQUIRE(batch.ok());
    CHECK(batch->shared.empty());
    CHECK(batch->items.size() > 200);
    const auto reached = behind.own_position();
    CHECK(sequences(behind) == numbers(reached + 1, 600));
    followed.append(3);
    for (auto* reader : {&head, &behind}) {
        const auto next = reader->next(false);
        REQUIRE(next.ok());
        CHECK(next->items.empty());
        CHECK(next->shared.size() == 1);
        CHECK(next->at_end);
    }
    CHECK(head.position().to_string() == behind.position().to_string());
}

TEST_CASE("a time to begin at counts where events are shared") {
    Followed followed;
    auto early = followed.reader(), late = followed.reader();
    REQUIRE(early.start_now(false).ok());
    REQUIRE(late.start_since(noon + base::Microseconds{5}).ok());
    for (int i = 0; i < 10; ++i) {
        followed.append(1);
        followed.journal.clock.advance(base::Microseconds{1});
    }
    CHECK(sequences(early) == numbers(1, 10));
    CHECK(sequences(late) == numbers(6, 10));
}

TEST_CASE("what is shared of the newest events is bounded, and who is behind that misses nothing") {
    Followed followed(64 * 1024);
    auto head = followed.reader(), slow = followed.reader();
    REQUIRE(head.start_now(false).ok());
    REQUIRE(slow.start_now(false).ok());
    for (std::uint64_t round = 0; round < 10; ++round) {
        followed.append(20, 1000);
        CHECK(sequences(head) == numbers(20 * round + 1, 20 * round + 20));
    }
    // 200 KB have passed.
    CHECK_FALSE(followed.behind(0).block);
    CHECK_FALSE(followed.behind(0).at_end);
    CHECK_FALSE(followed.behind(100).block);
    CHECK(followed.behind(180).block);
    CHECK(sequences(slow) == numbers(1, 200));
}

TEST_CASE("what was read some time ago is forgotten") {
    Followed followed;
    followed.append(3);
    REQUIRE(followed.behind(0).block);
    followed.journal.clock.advance(base::Microseconds{1'000'000});
    followed.append(3);
    REQUIRE(followed.behind(3).block);
    followed.recent.forget(followed.journal.clock.mono());
    followed.counted.reads = 0;
    CHECK_FALSE(followed.behind(0).block);
    CHECK(followed.behind(4).block);
    CHECK(followed.counted.reads == 0);
    followed.recent.forget(base::MonoTime::max());
    CHECK(followed.behind(0).block->last() == 6);
    CHECK(followed.counted.reads == 1);
}

TEST_CASE("an event that cannot be read is left to each reader, and what follows it is shared again") {
    Followed followed;
    followed.append(2);
    REQUIRE(followed.counted.append_and_wait({audit::RecordType::admin, {}, "\xff\xff"}).ok());
    followed.append(2);
    auto reader = followed.reader();
    REQUIRE(reader.start_after({{{followed.gateway(), 0}}, false}, false).ok());
    auto batch = reader.next(false);
    REQUIRE(batch.ok());
    CHECK(reader.own_position() == 2);
    batch = reader.next(false);
    REQUIRE(batch.ok());
    REQUIRE_FALSE(batch->items.empty());
    CHECK(batch->items[0].gap().first_missing() == 3);
    CHECK(batch->items[0].gap().last_missing() == 3);
    CHECK(sequences(reader).empty());  // what lies behind came with the gap
    followed.append(2);
    batch = reader.next(false);
    REQUIRE(batch.ok());
    CHECK(batch->shared.size() == 1);
    CHECK(reader.own_position() == 7);
}

TEST_CASE("who begins ahead of those who follow takes nothing from them") {
    Followed followed;
    followed.append(10);
    const auto first = followed.behind(0).block;
    REQUIRE(first);
    followed.append(600);
    CHECK_FALSE(followed.behind(610).block);
    followed.append(1);
    REQUIRE(followed.behind(610).block);  // has read what lies between too
    followed.counted.reads = 0;
    CHECK(followed.behind(0).block == first);
    CHECK(followed.behind(300).block);
    CHECK(followed.behind(610).block->last() == 611);
    CHECK(followed.counted.reads == 0);
    // Farther than that, what is kept begins anew.
    followed.append(5000);
    CHECK(followed.behind(5610).block->first() == 5611);
    CHECK_FALSE(followed.behind(300).block);
    CHECK_FALSE(followed.behind(300).at_end);
}

TEST_CASE("what is kept has an age, though nobody forgets it") {
    Followed followed;
    followed.append(3);
    REQUIRE(followed.behind(0).block);
    followed.journal.clock.advance(audit::recent_age_max + base::Microseconds{1});
    followed.counted.reads = 0;
    REQUIRE(followed.behind(0).block);
    CHECK(followed.counted.reads == 1);
}

TEST_CASE("what is made of the newest events is bounded as they are") {
    constexpr std::size_t bound = 200'000;
    Followed followed(audit::recent_bytes_max, bound);
    // Texts that are long and say the same.
    std::vector<audit::FleetReader> readers;
    for (std::size_t i = 0; i < 20; ++i)
        readers.push_back(followed.reader("type = access" + std::string(3000 + i, ' ')));
    for (auto& reader : readers) REQUIRE(reader.start_now(false).ok());
    for (std::uint64_t round = 0; round < 20; ++round) {
        followed.append(1);
        for (auto& reader : readers) CHECK(sequences(reader) == numbers(round + 1, round + 1));
        CHECK(followed.recent.made_bytes() < bound + 4000);
    }
    CHECK(followed.recent.made_bytes() > bound / 4);
    followed.counted.reads = 0;
    CHECK(followed.behind(0).block);  // the events are there
    CHECK(followed.counted.reads == 0);
}

TEST_CASE("readers on threads of their own see each event once and in order") {
    Followed followed;
    constexpr std::uint64_t events = 3000;
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    std::vector<audit::FleetReader> readers;
    for (int i = 0; i < 6; ++i) readers.push_back(followed.reader(i % 2 == 0 ? "" : "type = access"));
    for (auto& reader : readers) REQUIRE(reader.start_now(false).ok());
    for (auto& reader : readers)
        threads.emplace_back([&] {
            std::uint64_t last = 0;
            const auto take = [&](std::uint64_t sequence) { last = sequence == last + 1 ? sequence : UINT64_MAX; };
            while (last < events) {
                const auto batch = reader.next(false);
                if (!batch) return;
                for (const auto& item : batch->items) take(item.event().sequence());
                for (const auto& shared : batch->shared)
                    for (auto i = shared.begin; i < shared.end; ++i) take(shared.block->first() + (*shared.picks)[i]);
            }
            right += last == events;
        });
    for (std::uint64_t i = 0; i < events / 100; ++i) followed.append(100);
    for (auto& thread : threads) thread.join();
    CHECK(right == 6);
}
