#include <atomic>
#include <chrono>
#include <condition_variable>
#include <thread>

#include "audit/journal/fake_disk.hpp"
#include "audit/journal/file_journal.hpp"
#include "catch.hpp"

// The journal over a disk that fails, fills, forgets and hangs.
namespace usher::audit::journal {
namespace {

using base::Errc;
using base::Error;
using testing::FakeDisk;

base::Uuid access(std::uint8_t n) {
    base::Uuid id;
    id.bytes.fill(n);
    return id;
}
JournalAppend admin(std::string payload) { return {RecordType::admin, {}, std::move(payload)}; }
JournalAppend closed(std::uint8_t n) { return {RecordType::access_closed, access(n), "closed"}; }

constexpr std::uint64_t segment_bytes = 64u << 10;

struct Fixture {
    FakeDisk disk;
    base::ManualClock clock{base::from_micros(1'700'000'000'000'000)};
    JournalOptions options{.directory = "journal", .segment_bytes = segment_bytes};

    base::Result<std::unique_ptr<Journal>> try_open() { return FileJournal::open(options, clock, disk); }
    std::unique_ptr<Journal> open() {
        auto journal = try_open();
        if (!journal) FAIL(journal.error().message);
        return std::move(*journal);
    }
    std::string path(std::uint64_t first) const { return options.directory + "/" + segment_name(first); }
};

void must_append(Journal& journal, JournalAppend record) {
    auto sequence = journal.append_and_wait(std::move(record));
    if (!sequence) FAIL(sequence.error().message);
}

Errc refusal(Journal& journal, JournalAppend record) {
    auto sequence = journal.append_and_wait(std::move(record));
    if (sequence) FAIL("record " << *sequence << " was taken");
    return sequence.error().code;
}

std::vector<std::string> payloads(const Journal& journal) {
    auto records = journal.read(journal.status().first_sequence - 1, SIZE_MAX, SIZE_MAX);
    if (!records) FAIL(records.error().message);
    std::vector<std::string> out;
    for (std::size_t i = 0; i < records->size(); ++i) {
        if ((*records)[i].sequence != journal.status().first_sequence + i) FAIL("sequences are not dense");
        out.push_back((*records)[i].payload);
    }
    return out;
}

/// Waits for what another thread brings about; fails the test when it does not come.
template <class Condition>
void until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) FAIL("it does not come");
        std::this_thread::yield();
    }
}

/// Fails the operations of one kind that are counted in [from, to).
FakeDisk::Hook failing(FakeDisk::Op kind, int from, int to, Errc code = Errc::unavailable) {
    auto count = std::make_shared<std::atomic<int>>(0);
    return [=](FakeDisk::Op op, const std::string& path) -> std::optional<Error> {
        if (op != kind) return std::nullopt;
        const int n = (*count)++;
        if (n < from || n >= to) return std::nullopt;
        return Error{code, path + ": Input/output error"};
    };
}

/// What was acknowledged. Shared, because an append that is refused at once may overtake answers to earlier ones.
struct Acknowledged {
    std::mutex mutex;
    std::map<std::uint64_t, std::string> records;
};

/// Appends records in batches of one to twenty, some large, and ships some.
void work(Journal& journal, std::uint64_t start, const std::shared_ptr<Acknowledged>& acknowledged) {
    std::mt19937_64 random(start + 1);
    for (int round = 0; round < 25; ++round) {
        const auto count = 1 + random() % 20;
        for (std::uint64_t i = 0; i < count; ++i) {
            std::string payload = std::to_string(start) + "/" + std::to_string(round) + "/" + std::to_string(i);
            payload.append(random() % 4 == 0 ? random() % 3000 : random() % 60, 'p');
            journal.append(admin(payload), [acknowledged, payload](base::Result<std::uint64_t> done) {
                const std::lock_guard lock(acknowledged->mutex);
                if (done) acknowledged->records[*done] = payload;
            });
        }
        if (!journal.append_and_wait(admin("end of round")).ok()) break;
        if (round % 8 == 7) journal.mark_shipped(journal.durable_sequence() - 20);
    }
}

TEST_CASE("a record that can wait is synced with the next one that cannot, or by itself") {
    Fixture f;
    std::atomic<int> syncs{0};
    auto journal = f.open();
    f.disk.set_hook([&](FakeDisk::Op op, const std::string&) -> std::optional<Error> {
        if (op == FakeDisk::Op::sync) ++syncs;
        return std::nullopt;
    });
    constexpr int pairs = 50;
    for (int i = 0; i < pairs; ++i) {
        auto last = closed(1);
        last.can_wait = true;
        journal->append(std::move(last), {});
        journal->wait_beyond(2 * i, std::chrono::milliseconds{1});  // time enough for a sync of its own
        must_append(*journal, admin("now"));
    }
    CHECK(journal->durable_sequence() == 2 * pairs);
    // A thread that is kept from running for 10 ms makes two syncs of one, but not again and again.
    CHECK(syncs < pairs * 3 / 2);

    auto last = closed(1);
    last.can_wait = true;
    journal->append(std::move(last), {});
    CHECK(journal->wait_beyond(2 * pairs, std::chrono::seconds{30}) == 2 * pairs + 1);

    last = closed(2);
    last.can_wait = true;
    journal->append(std::move(last), {});
    journal.reset();
    f.disk.set_hook({});
    CHECK(f.open()->durable_sequence() == 2 * pairs + 2);
}

TEST_CASE("where many come at a time the next ones share a sync, and few wait for nothing") {
    using namespace std::chrono_literals;
    for (const std::size_t few : {0u, 1u, 3u}) CHECK(pause_behind(few, 100us) == 0us);
    CHECK(pause_behind(4, 100us) == 100us);
    CHECK(pause_behind(2000, 299us) == 299us);
    CHECK(pause_behind(2000, 20ms) == 300us);
    CHECK(pause_behind(2000, 0us) == 0us);
    CHECK(pause_behind(2000, -1us) == 0us);
}

TEST_CASE("power lost at any operation loses nothing that was acknowledged") {
    int cuts = 0;
    for (std::uint64_t at = 1;; ++at) {
        bool reached = false;
        for (std::uint64_t seed = 0; seed < 6; ++seed) {
            Fixture f;
            f.options.keep_shipped_segments = 0;
            const auto acknowledged = std::make_shared<Acknowledged>();
            f.disk.cut_power_after(at);
            if (auto journal = f.try_open()) work(**journal, 0, acknowledged);
            reached = f.disk.power_is_off();
            if (!reached) break;
            ++cuts;
            f.disk.restore_power(seed * 1000 + at);

            // And once more, while it recovers or goes on.
            f.disk.cut_power_after(1 + seed * 3);
            if (auto journal = f.try_open()) {
                // What a start found durable may have been shipped: it must stay as it is.
                if (auto records = (*journal)->read((*journal)->status().first_sequence - 1, SIZE_MAX, SIZE_MAX))
                    for (auto& record : *records) acknowledged->records[record.sequence] = record.payload;
                work(**journal, at, acknowledged);
            }
            f.disk.restore_power(seed);

            auto journal = f.try_open();
            if (!journal) FAIL("power cut " << at << ", seed " << seed << ": " << journal.error().message);
            const auto first = (*journal)->status().first_sequence;
            const auto found = payloads(**journal);
            for (const auto& [sequence, payload] : acknowledged->records) {
                if (sequence < first) continue;  // shipped
                if (sequence - first >= found.size() || found[sequence - first] != payload)
                    FAIL("power cut " << at << ", seed " << seed << ": record " << sequence << " is lost");
            }
            must_append(**journal, admin("goes on"));
        }
        if (!reached) break;
    }
    CHECK(cuts > 300);
}

TEST_CASE("a sync that fails once costs nothing: the batch goes to the next segment") {
    Fixture f;
    auto journal = f.open();
    must_append(*journal, admin("one"));
    f.disk.set_hook(failing(FakeDisk::Op::sync, 0, 1));
    must_append(*journal, admin("two"));
    must_append(*journal, admin("three"));
    CHECK(journal->status().healthy);
    CHECK(f.disk.exists(f.path(2)));
    CHECK(payloads(*journal) == std::vector<std::string>{"one", "two", "three"});
    journal.reset();
    f.disk.cut_power_after(0);
    f.disk.restore_power(1);
    CHECK(payloads(*f.open()) == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("records of a poisoned segment are not seen twice, even where they did reach the disk") {
    Fixture f;
    auto journal = f.open();
    must_append(*journal, admin("one"));
    f.disk.set_hook([](FakeDisk::Op op, const std::string& path) -> std::optional<Error> {
        static bool failed = false;
        if (op != FakeDisk::Op::sync || failed) return std::nullopt;
        failed = true;
        return Error{Errc::unavailable, path};
    });
    must_append(*journal, admin("two"));
    journal.reset();
    // The whole of the failed batch is in the first segment's file too.
    const auto& first = f.disk.bytes(f.path(1));
    const std::string text(first.begin(), first.end());
    CHECK(text.find("two") != std::string::npos);
    CHECK(payloads(*f.open()) == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a segment whose first batch fails is replaced by one of the same name") {
    Fixture f;
    auto journal = f.open();
    f.disk.set_hook(failing(FakeDisk::Op::sync, 0, 1));
    must_append(*journal, admin("one"));
    journal->mark_shipped(0);
    CHECK(payloads(*journal) == std::vector<std::string>{"one"});
    journal.reset();
    CHECK(payloads(*f.open()) == std::vector<std::string>{"one"});
}

TEST_CASE("a short write that fails goes to the next segment, too") {
    Fixture f;
    auto journal = f.open();
    must_append(*journal, admin("one"));
    f.disk.set_hook(failing(FakeDisk::Op::write, 0, 1, Errc::resource_exhausted));
    must_append(*journal, admin("two"));
    journal.reset();
    CHECK(payloads(*f.open()) == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a second failure is the end: every append is refused, and what was durable is there at the next start") {
    Fixture f;
    auto journal = f.open();
    must_append(*journal, admin("one"));
    f.disk.set_hook(failing(FakeDisk::Op::sync, 0, 1000));
    CHECK(refusal(*journal, admin("two")) == Errc::unavailable);
    CHECK(refusal(*journal, closed(1)) == Errc::unavailable);
    CHECK_FALSE(journal->status().healthy);
    CHECK(journal->status().problem.find("failed") != std::string::npos);
    CHECK(journal->durable_sequence() == 1);
    CHECK(payloads(*journal) == std::vector<std::string>{"one"});
    journal.reset();
    f.disk.set_hook({});
    f.disk.cut_power_after(0);
    f.disk.restore_power(3);
    CHECK(payloads(*f.open()).front() == "one");
}

TEST_CASE("any single failure of the disk loses nothing that was acknowledged") {
    for (const auto op : {FakeDisk::Op::write, FakeDisk::Op::sync, FakeDisk::Op::create, FakeDisk::Op::rename,
                          FakeDisk::Op::sync_directory, FakeDisk::Op::unlink}) {
        for (int n = 0; n < 40; ++n) {
            Fixture f;
            f.options.keep_shipped_segments = 0;
            auto journal = f.open();
            f.disk.set_hook(failing(op, n, n + 1));
            const auto acknowledged = std::make_shared<Acknowledged>();
            work(*journal, 7, acknowledged);
            journal.reset();
            f.disk.set_hook({});
            f.disk.cut_power_after(0);
            f.disk.restore_power(static_cast<std::uint64_t>(n));
            journal = f.open();
            const auto first = journal->status().first_sequence;
            const auto found = payloads(*journal);
            for (const auto& [sequence, payload] : acknowledged->records)
                if (sequence >= first && (sequence - first >= found.size() || found[sequence - first] != payload))
                    FAIL("operation " << static_cast<int>(op) << ", failure " << n << ": record " << sequence
                                      << " is lost");
        }
    }
}

TEST_CASE("a full disk refuses all but what closes an access, until there is room again") {
    Fixture f;
    f.disk.set_capacity(2 * segment_bytes + 4096);
    auto journal = f.open();
    std::uint64_t taken = 0;
    Errc code{};
    for (;;) {
        auto done = journal->append_and_wait(admin(std::string(1000, 'x')));
        if (!done) {
            code = done.error().code;
            break;
        }
        ++taken;
    }
    CHECK(code == Errc::resource_exhausted);
    CHECK(taken < 64);  // the second segment, which was the reserve, is left to what closes
    CHECK_FALSE(journal->status().healthy);
    CHECK(journal->status().problem.find("reserved segment") != std::string::npos);
    for (int i = 0; i < 300; ++i) must_append(*journal, closed(1));
    CHECK(refusal(*journal, admin("still full")) == Errc::resource_exhausted);

    f.disk.set_capacity(UINT64_MAX);
    CHECK(refusal(*journal, admin("not tried again yet")) == Errc::resource_exhausted);
    f.clock.advance(base::Microseconds{500'000});
    until([&] { return journal->status().healthy; });
    must_append(*journal, admin("room"));
    const auto last = journal->durable_sequence();
    journal.reset();
    CHECK(f.open()->durable_sequence() == last);
}

TEST_CASE("shipping makes room on a full disk") {
    Fixture f;
    f.options.keep_shipped_segments = 0;
    f.disk.set_capacity(2 * segment_bytes + 4096);
    auto journal = f.open();
    while (journal->append_and_wait(admin(std::string(1000, 'x'))).ok()) {
    }
    must_append(*journal, closed(1));
    journal->mark_shipped(journal->durable_sequence());
    until([&] { return journal->status().healthy; });
    must_append(*journal, admin("room"));
}

TEST_CASE("when the reserve is used up, what closes is refused too, and nothing is damaged") {
    Fixture f;
    f.disk.set_capacity(2 * segment_bytes + 4096);
    auto journal = f.open();
    while (journal->append_and_wait(admin(std::string(1000, 'x'))).ok()) {
    }
    std::uint64_t closes = 0;
    while (journal->append_and_wait(closed(1)).ok()) ++closes;
    CHECK(closes > 900);
    const auto last = journal->durable_sequence();
    journal.reset();
    f.disk.set_capacity(UINT64_MAX);
    CHECK(f.open()->durable_sequence() == last);
}

TEST_CASE("without room for the reserve the journal does not open, and says what it needs") {
    Fixture f;
    f.disk.set_capacity(segment_bytes);
    auto journal = f.try_open();
    REQUIRE_FALSE(journal.ok());
    CHECK(journal.error().code == Errc::resource_exhausted);
    CHECK(journal.error().message.find("the journal in journal needs 65536 bytes") != std::string::npos);
    f.disk.set_capacity(2 * segment_bytes + 4096);
    CHECK(f.try_open().ok());
}

/// Holds the journal's thread inside a sync until it is let go.
struct Gate {
    std::mutex mutex;
    std::condition_variable changed;
    bool armed = false;
    bool inside = false;
    bool open = false;

    FakeDisk::Hook hook() {
        return [this](FakeDisk::Op op, const std::string&) -> std::optional<Error> {
            std::unique_lock lock(mutex);
            if (op != FakeDisk::Op::sync || !std::exchange(armed, false)) return std::nullopt;
            inside = true;
            changed.notify_all();
            changed.wait(lock, [&] { return open; });
            return std::nullopt;
        };
    }
    void arm() {
        const std::lock_guard lock(mutex);
        armed = true;
    }
    void wait_inside() {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return inside; });
    }
    void let_go() {
        const std::lock_guard lock(mutex);
        open = true;
        changed.notify_all();
    }
};

TEST_CASE("the write behind a batch of four waits, and a stop does not") {
    using Steady = std::chrono::steady_clock;
    for (const bool stops : {false, true}) {
        Fixture f;
        Gate gate;
        auto journal = f.open();
        // Of the disk's thread, which is the journal's, until the journal is gone.
        std::optional<Steady::time_point> synced, written;
        bool four_are_written = false;
        std::atomic<bool> appended{false}, last_is_durable{false};
        auto* const open = journal.get();
        auto hold = gate.hook();
        f.disk.set_hook([&](FakeDisk::Op op, const std::string& path) -> std::optional<Error> {
            if (op == FakeDisk::Op::write && synced && !written) written = Steady::now();
            if (op == FakeDisk::Op::sync && four_are_written && !synced) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));  // what this disk takes
                synced = Steady::now();
            }
            return hold(op, path);
        });
        gate.arm();
        journal->append(admin("held"), [&](auto) { four_are_written = true; });
        gate.wait_inside();
        for (int i = 0; i < 3; ++i) journal->append(admin("one of four"), {});
        journal->append(admin("the fourth"), [&](auto) {
            open->append(admin("the next one"), [&](auto result) { last_is_durable = result.ok(); });
            appended = true;
        });
        gate.let_go();
        until([&] { return stops ? appended.load() : last_is_durable.load(); });
        journal.reset();
        CHECK(last_is_durable);
        REQUIRE((synced && written));
        if (!stops) CHECK(*written - *synced >= std::chrono::microseconds{300});
    }
}

TEST_CASE("a disk that hangs past the limit makes the journal unhealthy until it answers") {
    Fixture f;
    Gate gate;
    auto journal = f.open();
    must_append(*journal, admin("one"));
    f.disk.set_hook(gate.hook());
    gate.arm();
    std::atomic<int> done{0};
    journal->append(admin("two"), [&](base::Result<std::uint64_t> result) { done += result.ok(); });
    gate.wait_inside();
    f.clock.advance(base::Microseconds{2'000'000});
    CHECK(journal->status().healthy);
    f.clock.advance(base::Microseconds{1});
    CHECK_FALSE(journal->status().healthy);
    CHECK(journal->status().problem.find("has not answered") != std::string::npos);
    CHECK(refusal(*journal, admin("three")) == Errc::unavailable);
    journal->append(closed(1), [&](base::Result<std::uint64_t> result) { done += result.ok(); });
    gate.let_go();
    until([&] { return done == 2; });
    until([&] { return journal->status().healthy; });
    must_append(*journal, admin("three"));
    CHECK(payloads(*journal) == std::vector<std::string>{"one", "two", "closed", "three"});
}

TEST_CASE("the queue is bounded, with as much room again for what closes an access") {
    Fixture f;
    f.options.queue_records = 10;
    Gate gate;
    auto journal = f.open();
    f.disk.set_hook(gate.hook());
    gate.arm();
    std::atomic<int> good{0}, refused{0};
    const auto count = [&](base::Result<std::uint64_t> result) { ++(result ? good : refused); };
    journal->append(admin("in the disk's hands"), count);
    gate.wait_inside();
    for (int i = 0; i < 9; ++i) journal->append(admin("waits"), count);
    CHECK(refused == 0);
    journal->append(admin("one too many"), count);
    CHECK(refused == 1);
    for (int i = 0; i < 10; ++i) journal->append(closed(1), count);
    CHECK(refused == 1);
    journal->append(closed(1), count);
    CHECK(refused == 2);
    gate.let_go();
    journal.reset();  // closing writes what waits
    CHECK(good == 20);
    CHECK(f.open()->durable_sequence() == 20);
}

TEST_CASE("the queue's bytes are bounded") {
    Fixture f;
    f.options.queue_bytes = 1000;
    Gate gate;
    auto journal = f.open();
    f.disk.set_hook(gate.hook());
    gate.arm();
    journal->append(admin(std::string(600, 'x')), {});
    gate.wait_inside();
    CHECK(refusal(*journal, admin(std::string(500, 'x'))) == Errc::resource_exhausted);
    gate.let_go();
    journal.reset();
    CHECK(f.open()->durable_sequence() == 1);
}

}  // namespace
}  // namespace usher::audit::journal
