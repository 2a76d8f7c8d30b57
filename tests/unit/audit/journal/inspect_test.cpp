#include "audit/journal/inspect.hpp"

#include "audit/audit.hpp"
#include "audit/journal/fake_disk.hpp"
#include "audit/journal/file_journal.hpp"
#include "audit/journal/repair.hpp"
#include "catch.hpp"

// What can be said of a journal's files, and what can be saved of damaged ones.
namespace usher::audit::journal {
namespace {

using base::Errc;
using testing::FakeDisk;
using Kind = Finding::Kind;

constexpr std::uint64_t segment_bytes = 64u << 10;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t stride = 61;
#else
constexpr std::size_t stride = 1;
#endif

base::Uuid access(std::uint8_t n) {
    base::Uuid id;
    id.bytes.fill(n);
    return id;
}

struct Fixture {
    FakeDisk disk;
    base::ManualClock clock{base::from_micros(1'700'000'000'000'000)};
    const std::string directory = "journal";

    std::unique_ptr<Journal> open() {
        auto journal = FileJournal::open({.directory = directory, .segment_bytes = segment_bytes}, clock, disk);
        if (!journal) FAIL(journal.error().message);
        return std::move(*journal);
    }
    std::string path(std::uint64_t first) const { return directory + "/" + segment_name(first); }
    void write(std::size_t records, std::size_t bytes) {
        auto journal = open();
        for (std::size_t i = 0; i < records; ++i) {
            clock.advance(base::Microseconds{1000});
            // Of uneven length, so that records end everywhere in a sector.
            JournalAppend append{RecordType::admin, {}, std::string(bytes + i % 7, static_cast<char>('a' + i % 26))};
            REQUIRE(journal->append_and_wait(std::move(append)).ok());
        }
    }
    std::vector<std::string> segments() const {
        std::vector<std::string> out;
        const auto names = disk.list(directory);
        for (const auto& name : *names)
            if (parse_segment_name(name)) out.push_back(name);
        return out;
    }
    Inspection look() const {
        auto seen = inspect(disk, directory, {});
        if (!seen) FAIL(seen.error().message);
        return std::move(*seen);
    }
    std::vector<Repaired> mend(RepairOptions options) {
        auto done = repair(disk, directory, options, clock);
        if (!done) FAIL(done.error().message);
        return std::move(*done);
    }
    std::vector<JournalRecord> read() {
        auto journal = open();
        auto records = journal->read(journal->status().first_sequence - 1, SIZE_MAX, SIZE_MAX);
        if (!records) FAIL(records.error().message);
        return std::move(*records);
    }
};

bool covers(const std::vector<Finding>& findings, const std::string& file, std::uint64_t offset) {
    return std::any_of(findings.begin(), findings.end(),
                       [&](const Finding& f) { return f.file == file && f.offset <= offset && offset < f.end; });
}

TEST_CASE("a whole journal is told: segments, sequences, counts, times; and it is not changed") {
    Fixture f;
    {
        auto journal = f.open();
        REQUIRE(journal->append_and_wait({RecordType::access_opened, access(1), "o"}).ok());
        f.clock.advance(base::Microseconds{5'000'000});
        REQUIRE(journal->append_and_wait({RecordType::access_opened, access(2), "o"}).ok());
        REQUIRE(journal->append_and_wait({RecordType::access_closed, access(1), "c"}).ok());
    }
    f.write(150, 1000);
    const auto before = f.disk.changes();
    std::vector<std::uint64_t> seen_sequences;
    const auto seen = inspect(f.disk, f.directory, [&](const RecordView& r) { seen_sequences.push_back(r.sequence); });
    REQUIRE(seen.ok());
    CHECK(f.disk.changes() == before);
    CHECK(seen->findings.empty());
    CHECK_FALSE(seen->refused());
    CHECK(seen->gateway == f.open()->gateway_id());
    CHECK(seen->segments.size() == f.segments().size());
    CHECK(seen->segments.size() >= 3);
    CHECK(seen->records == 153);
    CHECK(seen->first == 1);
    CHECK(seen->last == 153);
    CHECK(seen->by_type[1] == 2);
    CHECK(seen->by_type[3] == 1);
    CHECK(seen->by_type[5] == 150);
    CHECK(seen->open_accesses == 1);
    CHECK(seen->last_at - seen->first_at == base::Microseconds{5'150'000});
    CHECK(seen_sequences.size() == 153);
    CHECK(std::is_sorted(seen_sequences.begin(), seen_sequences.end()));
}

TEST_CASE("every bit pattern flipped into any byte of a 256 KiB journal is found and located") {
    Fixture f;
    f.write(140, 1200);
    REQUIRE(f.look().findings.empty());
    const auto names = f.segments();
    REQUIRE(names.size() == 3);  // and the reserve: four files of 64 KiB
    const auto gateway = f.open()->gateway_id();
    std::size_t flipped = 0, missed = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto first = *parse_segment_name(names[i]);
        std::optional<std::uint64_t> next;
        if (i + 1 < names.size()) next = parse_segment_name(names[i + 1]);
        auto bytes = f.disk.bytes(f.directory + "/" + names[i]);
        REQUIRE(bytes.size() == segment_bytes);
        for (std::size_t at = 0; at < bytes.size(); at += stride) {
            const auto flip = static_cast<std::uint8_t>(1u << (at % 8));
            bytes[at] ^= flip;
            const auto report = inspect_segment(bytes, {first, next, gateway}, {});
            bytes[at] ^= flip;
            ++flipped;
            if (!covers(report.findings, names[i], at)) ++missed;
            // No neighbour suffers: at most the record that the byte is in is given up.
            for (const auto& finding : report.findings)
                if (finding.kind == Kind::corrupt && finding.last_missing > finding.first_missing) ++missed;
        }
    }
    // The reserve and what goes with it, through the files themselves.
    for (const std::string name : {"reserved.usj", "gateway_id"}) {
        auto& bytes = f.disk.bytes(f.directory + "/" + name);
        for (std::size_t at = 0; at < bytes.size(); at += name == "gateway_id" ? 1 : 101 * stride) {
            bytes[at] ^= 0x20;
            if (!covers(f.look().findings, name, at)) ++missed;
            bytes[at] ^= 0x20;
            ++flipped;
        }
    }
    CHECK(missed == 0);
    CHECK(flipped >= 3 * segment_bytes / stride);
}

TEST_CASE("a flipped byte is found through the whole directory as in the one segment") {
    Fixture f;
    f.write(140, 1200);
    for (const auto& name : f.segments()) {
        auto& bytes = f.disk.bytes(f.directory + "/" + name);
        for (std::size_t at = 0; at < bytes.size(); at += 4001) {
            bytes[at] ^= 0x10;
            const auto seen = f.look();
            REQUIRE(covers(seen.findings, name, at));
            bytes[at] ^= 0x10;
        }
    }
}

TEST_CASE("a torn end is no corruption, and the records of a later write behind it are") {
    Fixture f;
    f.write(5, 1000);
    auto& bytes = f.disk.bytes(f.path(1));
    const auto whole = bytes;
    const auto seen = f.look();
    const auto end = seen.segments[0].end;
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(end) - 300, bytes.end(), std::uint8_t{0});
    const auto torn = f.look();
    REQUIRE(torn.findings.size() == 1);
    CHECK(torn.findings[0].kind == Kind::torn);
    CHECK_FALSE(torn.refused());
    CHECK(torn.last == 4);

    bytes = whole;
    std::fill(bytes.begin() + 1300, bytes.begin() + 2000, std::uint8_t{0});  // inside the second record
    const auto hole = f.look();
    REQUIRE(hole.findings.size() == 1);
    CHECK(hole.findings[0].kind == Kind::corrupt);
    CHECK(hole.findings[0].first_missing == 2);
    CHECK(hole.findings[0].last_missing == 2);
    CHECK(hole.refused());
    CHECK(hole.records == 4);
}

TEST_CASE("a segment that is gone is located by the records that are missing") {
    Fixture f;
    f.write(200, 1000);
    const auto names = f.segments();
    REQUIRE(names.size() >= 4);
    REQUIRE(f.disk.unlink(f.directory + "/" + names[1]).ok());
    const auto seen = f.look();
    REQUIRE(seen.findings.size() == 1);
    CHECK(seen.findings[0].first_missing == *parse_segment_name(names[1]));
    CHECK(seen.findings[0].last_missing == *parse_segment_name(names[2]) - 1);
}

TEST_CASE("a directory without a journal is not found") {
    Fixture f;
    const auto seen = inspect(f.disk, "elsewhere", {});
    REQUIRE_FALSE(seen.ok());
    CHECK(seen.error().code == Errc::not_found);
    CHECK(repair(f.disk, "elsewhere", {}, f.clock).error().code == Errc::not_found);
}

TEST_CASE("repair marks what is lost, keeps what is not and the damaged file, and the journal starts again") {
    Fixture f;
    f.write(140, 1200);
    const auto before = f.read();
    const auto names = f.segments();
    auto& bytes = f.disk.bytes(f.directory + "/" + names[0]);
    bytes[1500] ^= 1;  // the second record
    const auto damaged = bytes;
    auto refused = FileJournal::open({.directory = f.directory, .segment_bytes = segment_bytes}, f.clock, f.disk);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message.find("usherctl journal repair journal") != std::string::npos);

    const auto changes = f.disk.changes();
    const auto plan = f.mend({});
    CHECK(f.disk.changes() == changes);
    REQUIRE(plan.size() == 1);
    CHECK(plan[0].lost == 1);
    const auto done = f.mend({.accept_loss = true});
    REQUIRE(done.size() == 1);
    CHECK(done[0].losses == plan[0].losses);
    CHECK(f.disk.bytes(f.directory + "/" + done[0].kept_as) == damaged);
    CHECK(f.look().findings.empty());
    CHECK(f.mend({.accept_loss = true}).empty());

    const auto after = f.read();
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
        REQUIRE(after[i].sequence == before[i].sequence);
        if (i != 1) {
            REQUIRE(after[i].payload == before[i].payload);
            REQUIRE(after[i].recorded_at == before[i].recorded_at);
            continue;
        }
        const auto event = decode({}, after[i]);
        REQUIRE(event.ok());
        CHECK(event->system().event() == usher::v1::SystemRecord::Event::CORRUPTION);
        CHECK(event->system().detail().find("record 2 lost: " + names[0] + ": offset ") != std::string::npos);
    }
}

TEST_CASE("repair fills the place of a segment that is gone, and goes on behind what the store has") {
    Fixture f;
    f.write(200, 1000);
    const auto names = f.segments();
    REQUIRE(f.disk.unlink(f.directory + "/" + names[1]).ok());
    const auto first = *parse_segment_name(names[1]);
    const auto done = f.mend({.accept_loss = true, .through = 250});
    REQUIRE(done.size() == 2);
    CHECK(done[0].lost == *parse_segment_name(names[2]) - first);
    CHECK(done[1].lost == 50);
    const auto after = f.read();
    REQUIRE(after.size() == 250);
    CHECK(after[first - 1].type == RecordType::system);
    CHECK(after[249].type == RecordType::system);
    f.write(1, 10);
    CHECK(f.read().back().sequence == 251);
}

TEST_CASE("repair saves the records behind a damaged header, and writes a damaged gateway_id again") {
    Fixture f;
    f.write(140, 1200);
    const auto before = f.read();
    f.disk.bytes(f.path(1))[20] ^= 1;
    f.disk.bytes("journal/gateway_id")[5] ^= 1;
    CHECK(f.look().findings.size() == 2);
    const auto done = f.mend({.accept_loss = true});
    REQUIRE(done.size() == 2);
    CHECK(done[1].lost == 0);
    const auto after = f.read();
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < after.size(); ++i) REQUIRE(after[i].payload == before[i].payload);
}

TEST_CASE("a repair that loses power at any change can be done again and loses nothing more") {
    for (std::uint64_t cut = 1;; ++cut) {
        Fixture f;
        f.write(60, 1200);
        REQUIRE(f.disk.sync_directory("journal").ok());
        f.disk.bytes(f.path(1))[1500] ^= 1;
        // What was damaged is so on the disk too.
        auto file = f.disk.open(f.path(1), true);
        REQUIRE((*file)->write_at(0, f.disk.bytes(f.path(1))).ok());
        REQUIRE((*file)->sync().ok());
        f.disk.cut_power_after(cut);
        const bool done = repair(f.disk, f.directory, {.accept_loss = true}, f.clock).ok();
        const bool off = f.disk.power_is_off();
        f.disk.restore_power(cut);
        REQUIRE(repair(f.disk, f.directory, {.accept_loss = true}, f.clock).ok());
        const auto after = f.read();
        REQUIRE(after.size() == 60);
        REQUIRE(std::count_if(after.begin(), after.end(), [](const auto& r) { return r.type == RecordType::system; }) ==
                1);
        if (done && !off) break;
        REQUIRE(cut < 100);
    }
}

TEST_CASE("an inspection beside a writer finds no corruption") {
    Fixture f;
    auto journal = f.open();
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        for (std::uint64_t i = 0; !stop; ++i) {
            const auto done = journal->append_and_wait({RecordType::admin, {}, std::string(900, 'x')});
            if (!done) return;
            if (i % 50 == 49) journal->mark_shipped(*done - 10);
        }
    });
    std::size_t corrupt = 0, failed = 0;
    std::size_t looks = 0;
    while (journal->durable_sequence() < 1000 || looks < 20) {
        ++looks;
        const auto seen = inspect(f.disk, f.directory, {});
        if (!seen) ++failed;
        if (seen && seen->refused()) ++corrupt;
    }
    stop = true;
    writer.join();
    CHECK(corrupt == 0);
    CHECK(failed == 0);
}

}  // namespace
}  // namespace usher::audit::journal
