#include "audit/journal/journal.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "audit/journal/segment.hpp"
#include "audit/journal/temporary_directory.hpp"
#include "catch.hpp"

namespace usher::audit::journal {
namespace {

using base::Errc;
using testing::TemporaryDirectory;

base::Uuid access(std::uint8_t n) {
    base::Uuid id;
    id.bytes.fill(n);
    return id;
}

JournalAppend opened(std::uint8_t n, std::string payload = "opened") {
    return {RecordType::access_opened, access(n), std::move(payload)};
}
JournalAppend closed(std::uint8_t n) { return {RecordType::access_closed, access(n), "closed"}; }
JournalAppend admin(std::string payload = "admin") { return {RecordType::admin, {}, std::move(payload)}; }

struct Fixture {
    TemporaryDirectory root;
    base::SystemClock clock;
    JournalOptions options{.directory = root / "journal", .segment_bytes = 64u << 10};

    std::unique_ptr<Journal> open() {
        auto journal = Journal::open(options, clock);
        if (!journal) FAIL(journal.error().message);
        return std::move(*journal);
    }
    std::vector<std::string> segments() const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(options.directory))
            if (parse_segment_name(entry.path().filename().string())) names.push_back(entry.path().string());
        std::sort(names.begin(), names.end());
        return names;
    }
};

void must_append(Journal& journal, JournalAppend record) {
    auto sequence = journal.append_and_wait(std::move(record));
    if (!sequence) FAIL(sequence.error().message);
}

std::vector<JournalRecord> read_all(const Journal& journal, std::uint64_t after = 0) {
    auto records = journal.read(after, SIZE_MAX, SIZE_MAX);
    if (!records) FAIL(records.error().message);
    return std::move(*records);
}

TEST_CASE("a record survives closing and opening of the journal") {
    Fixture f;
    base::Uuid gateway;
    {
        auto journal = f.open();
        gateway = journal->gateway_id();
        CHECK_FALSE(gateway.is_nil());
        CHECK(journal->durable_sequence() == 0);
        CHECK(read_all(*journal).empty());
        CHECK(*journal->append_and_wait(opened(7, std::string("a\0b", 3))) == 1);
        CHECK(*journal->append_and_wait({RecordType::system, {}, ""}) == 2);
    }
    auto journal = f.open();
    CHECK(journal->gateway_id() == gateway);
    CHECK(journal->durable_sequence() == 2);
    const auto records = read_all(*journal);
    REQUIRE(records.size() == 2);
    CHECK(records[0].sequence == 1);
    CHECK(records[0].type == RecordType::access_opened);
    CHECK(records[0].access_id == access(7));
    CHECK(records[0].payload == std::string("a\0b", 3));
    CHECK(records[1].payload.empty());
    CHECK(*journal->append_and_wait(admin()) == 3);
}

TEST_CASE("eight threads get dense sequences, each thread's in its order") {
    Fixture f;
    f.options.segment_bytes = 256u << 10;
    auto journal = f.open();
    constexpr int threads = 8, each = 2000;
    std::atomic<int> failed{0};
    {
        std::vector<std::jthread> producers;
        for (int t = 0; t < threads; ++t)
            producers.emplace_back([&, t] {
                for (int i = 0; i < each; ++i)
                    journal->append(admin(std::to_string(t) + " " + std::to_string(i)),
                                    [&](base::Result<std::uint64_t> done) { failed += !done.ok(); });
            });
    }
    must_append(*journal, admin("end 0"));
    CHECK(failed == 0);
    const auto records = read_all(*journal);
    REQUIRE(records.size() == threads * each + 1);
    std::vector<int> next(threads, 0);
    for (std::size_t i = 0; i + 1 < records.size(); ++i) {
        if (records[i].sequence != i + 1) FAIL("sequence " << records[i].sequence << " at place " << i + 1);
        const auto& payload = records[i].payload;
        const auto thread = static_cast<std::size_t>(std::stoi(payload));
        if (std::stoi(payload.substr(payload.find(' '))) != next[thread]++) FAIL("out of order: " << payload);
    }
    CHECK(f.segments().size() > 1);
}

TEST_CASE("reading goes across segments, within its bounds, from any record") {
    Fixture f;
    auto journal = f.open();
    for (int i = 1; i <= 3000; ++i) journal->append(admin(std::string(100, 'x') + std::to_string(i)), {});
    must_append(*journal, admin("last"));
    REQUIRE(f.segments().size() > 4);
    for (std::uint64_t after = 0; after < 3001; after += 7) {
        const auto records = journal->read(after, 5, SIZE_MAX);
        REQUIRE(records.ok());
        REQUIRE(records->size() == std::min<std::uint64_t>(5, 3001 - after));
        REQUIRE(records->front().sequence == after + 1);
        REQUIRE(records->back().sequence == after + records->size());
    }
    CHECK(journal->read(0, 100, 1)->size() == 1);  // one record always fits
    CHECK(journal->read(0, 100, 210)->size() == 2);
    CHECK(journal->read(0, 0, 1000)->empty());
    CHECK(journal->read(3001, 10, 1000)->empty());
    CHECK(journal->read(UINT64_MAX, 10, 1000)->empty());
    CHECK(read_all(*journal).size() == 3001);
}

TEST_CASE("a record of 1 MiB is kept, a longer one refused") {
    Fixture f;
    f.options.segment_bytes = 4u << 20;
    auto journal = f.open();
    must_append(*journal, admin(std::string(1u << 20, 'a')));
    must_append(*journal, admin("small"));
    const auto refused = journal->append_and_wait(admin(std::string((1u << 20) + 1, 'a')));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::invalid_argument);
    const auto records = read_all(*journal);
    REQUIRE(records.size() == 2);
    CHECK(records[0].payload.size() == 1u << 20);
    CHECK(records[1].payload == "small");
}

TEST_CASE("the recorded time does not go back when the wall clock does, nor over a restart") {
    Fixture f;
    base::ManualClock clock(base::from_micros(1'000'000'000));
    {
        auto journal = Journal::open(f.options, clock).value();
        must_append(*journal, admin());
        clock.step_utc(base::from_micros(5));
        must_append(*journal, admin());
    }
    auto journal = Journal::open(f.options, clock).value();
    must_append(*journal, admin());
    for (const auto& record : read_all(*journal)) CHECK(base::to_micros(record.recorded_at) == 1'000'000'000);
}

TEST_CASE("a second opener is refused within a second, naming the directory and the holder") {
    Fixture f;
    const auto journal = f.open();
    const auto start = std::chrono::steady_clock::now();
    const auto second = Journal::open(f.options, f.clock);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1));
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == Errc::failed_precondition);
    CHECK(second.error().message.find(f.options.directory) != std::string::npos);
    CHECK(second.error().message.find("process " + std::to_string(::getpid())) != std::string::npos);
}

TEST_CASE("shipped segments go, but for the two that are kept and what holds an open access") {
    Fixture f;
    auto journal = f.open();
    must_append(*journal, opened(1));
    for (int i = 0; i < 3000; ++i) journal->append(admin(std::string(100, 'x')), {});
    must_append(*journal, admin());
    const auto before = f.segments();
    REQUIRE(before.size() > 5);
    journal->mark_shipped(journal->durable_sequence());
    must_append(*journal, admin());
    CHECK(f.segments() == before);  // the first holds the open access
    CHECK(journal->status().open_accesses == 1);

    must_append(*journal, closed(1));
    journal->mark_shipped(journal->durable_sequence());
    must_append(*journal, admin());
    CHECK(f.segments().size() == 3);  // two kept, and the active one
    CHECK(f.segments().back() == before.back());
    CHECK(journal->status().open_accesses == 0);
    CHECK(journal->status().first_sequence > 1);
    const auto gone = journal->read(0, 10, 1000);
    REQUIRE_FALSE(gone.ok());
    CHECK(gone.error().code == Errc::not_found);
    CHECK(read_all(*journal, journal->status().first_sequence - 1).back().sequence == journal->durable_sequence());

    const auto last = journal->durable_sequence();
    journal.reset();
    CHECK(f.open()->durable_sequence() == last);
}

TEST_CASE("what was not shipped stays") {
    Fixture f;
    f.options.keep_shipped_segments = 0;
    auto journal = f.open();
    for (int i = 0; i < 3000; ++i) journal->append(admin(std::string(100, 'x')), {});
    must_append(*journal, admin());
    journal->mark_shipped(1000);
    must_append(*journal, admin());
    CHECK(journal->status().first_sequence <= 1001);
    CHECK(journal->status().first_sequence > 1);
    CHECK(journal->read(1000, 1, 1000)->front().sequence == 1001);
}

TEST_CASE("the accesses that a crash left open are found with their latest record, once") {
    Fixture f;
    {
        auto journal = f.open();
        must_append(*journal, opened(1, "one"));
        must_append(*journal, opened(2, "two"));
        must_append(*journal, {RecordType::access_progress, access(1), "one, further"});
        must_append(*journal, opened(3, "three"));
        must_append(*journal, closed(3));
        must_append(*journal, {RecordType::access_denied, access(4), "denied"});
        CHECK(journal->take_open_accesses().empty());
        CHECK(journal->status().open_accesses == 2);
    }
    auto journal = f.open();
    CHECK(journal->status().open_accesses == 2);
    const auto found = journal->take_open_accesses();
    REQUIRE(found.size() == 2);
    CHECK(found[0].payload == "two");
    CHECK(found[1].payload == "one, further");
    CHECK(found[1].sequence == 3);
    CHECK(journal->take_open_accesses().empty());
}

TEST_CASE("who waits for a sequence gets it, and a listener hears of it until it is removed") {
    Fixture f;
    auto journal = f.open();
    CHECK(journal->wait_beyond(0, base::Microseconds{1000}) == 0);
    std::atomic<int> heard{0};
    const auto id = journal->add_listener([&] { ++heard; });
    REQUIRE(id != 0);
    std::uint64_t woken_at = 0;
    {
        std::jthread waiter([&] { woken_at = journal->wait_beyond(0, std::chrono::seconds{30}); });
        must_append(*journal, admin());
    }
    CHECK(woken_at == 1);
    journal->remove_listener(id);
    const int before = heard;
    CHECK(before <= 1);
    must_append(*journal, admin());
    CHECK(heard == before);
    for (std::size_t i = 0; i < 64; ++i) CHECK(journal->add_listener([] {}) != 0);
    CHECK(journal->add_listener([] {}) == 0);
}

TEST_CASE("closing the journal wakes who waits") {
    Fixture f;
    auto journal = f.open();
    std::atomic<bool> waiting{false};
    std::jthread waiter([&, raw = journal.get()] {
        waiting = true;
        raw->wait_beyond(0, std::chrono::hours{1});
    });
    while (!waiting) std::this_thread::yield();
    std::this_thread::yield();
    must_append(*journal, admin());  // the waiter is in, or finds the record there
    journal.reset();
}

TEST_CASE("the journal's files are for its user only") {
    Fixture f;
    auto journal = f.open();
    struct stat st {};
    REQUIRE(::stat(f.options.directory.c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0700);
    for (const auto& entry : std::filesystem::directory_iterator(f.options.directory)) {
        REQUIRE(::stat(entry.path().c_str(), &st) == 0);
        CHECK((st.st_mode & 0777) == 0600);
    }
}

TEST_CASE("options that make no sense are refused") {
    Fixture f;
    f.options.segment_bytes = 65535;
    CHECK(Journal::open(f.options, f.clock).error().code == Errc::invalid_argument);
    f.options.segment_bytes = 65536;
    f.options.queue_records = 0;
    CHECK(Journal::open(f.options, f.clock).error().code == Errc::invalid_argument);
}

}  // namespace
}  // namespace usher::audit::journal
