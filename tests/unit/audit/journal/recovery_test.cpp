#include "audit/journal/recovery.hpp"

#include "audit/journal/fake_disk.hpp"
#include "audit/journal/file_journal.hpp"
#include "catch.hpp"

// What open() makes of the files that it finds.
namespace usher::audit::journal {
namespace {

using base::Errc;
using testing::FakeDisk;

constexpr std::uint64_t segment_bytes = 64u << 10;

JournalAppend admin(std::string payload) { return {RecordType::admin, {}, std::move(payload)}; }

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
    /// Appends each payload as a batch of its own, in one run of the journal.
    void write(const std::vector<std::string>& payloads) {
        auto journal = open();
        for (const auto& payload : payloads) REQUIRE(journal->append_and_wait(admin(payload)).ok());
    }
    std::vector<std::string> read() {
        auto journal = open();
        std::vector<std::string> out;
        const auto records = journal->read(journal->status().first_sequence - 1, SIZE_MAX, SIZE_MAX);
        if (!records) FAIL(records.error().message);
        for (const auto& record : *records) out.push_back(record.payload);
        return out;
    }
    /// The refusal, having changed nothing.
    base::Error refusal() {
        const auto before = disk.changes();
        auto journal = try_open();
        if (journal) FAIL("it opened");
        CHECK(disk.changes() == before + 1);  // the directory, which is there
        return std::move(journal).error();
    }
};

/// Where the last of `records` records starts and ends.
std::pair<std::size_t, std::size_t> last_record(const std::vector<std::uint8_t>& bytes) {
    const auto header = decode_header(bytes);
    SegmentScanner scanner(bytes, *header);
    std::size_t start = 0, end = header_bytes;
    while (scanner.next()) {
        start = end;
        end = scanner.offset();
    }
    return {start, end};
}

bool says(const base::Error& error, const std::string& what) {
    if (error.message.find(what) != std::string::npos) return true;
    WARN(error.message);
    return false;
}

TEST_CASE("a torn end is cut at every byte of the last record, and the journal goes on there") {
    Fixture whole;
    whole.write({"one", "two", std::string(100, 'x')});
    const auto image = whole.disk.bytes(whole.path(1));
    const auto [start, end] = last_record(image);
    for (std::size_t cut = start; cut < end; ++cut) {
        Fixture f;
        f.write({"one", "two", std::string(100, 'x')});
        auto& bytes = f.disk.bytes(f.path(1));
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(cut), bytes.end(), std::uint8_t{0});
        f.write({"three"});
        REQUIRE(f.read() == std::vector<std::string>{"one", "two", "three"});
        REQUIRE(last_record(f.disk.bytes(f.path(1))).first == start);
    }
}

TEST_CASE("damage is data loss that names file, offset, expected and found, and changes nothing") {
    Fixture f;
    f.write({"one", "two", "three"});
    const auto image = f.disk.bytes(f.path(1));
    const auto [start, end] = last_record(image);
    for (std::size_t at = 0; at < end; ++at) {
        auto& bytes = f.disk.bytes(f.path(1));
        bytes = image;
        bytes[at] ^= 0xff;
        const auto error = f.refusal();
        REQUIRE(error.code == Errc::data_loss);
        REQUIRE(says(error, f.path(1) + ": offset "));
        if (at >= header_bytes) {
            REQUIRE(says(error,
                         "expected record " + std::to_string(1 + (at - header_bytes) / ((start - header_bytes) / 2))));
            REQUIRE(says(error, "found "));
        }
        REQUIRE(bytes[at] == (image[at] ^ 0xff));
    }
}

TEST_CASE("a damaged record in a segment that is not the last is data loss") {
    Fixture f;
    std::vector<std::string> payloads(200, std::string(1000, 'x'));
    f.write(payloads);
    REQUIRE(f.read().size() == 200);
    auto& bytes = f.disk.bytes(f.path(1));
    const auto [start, end] = last_record(bytes);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(start) + 9, bytes.end(), std::uint8_t{0});  // looks torn
    const auto error = f.refusal();
    CHECK(error.code == Errc::data_loss);
    CHECK(says(error, "offset " + std::to_string(start)));
}

TEST_CASE("a missing segment is data loss") {
    Fixture f;
    f.write(std::vector<std::string>(200, std::string(1000, 'x')));
    const auto names = *f.disk.list("journal");
    std::vector<std::string> segments;
    for (const auto& name : names)
        if (parse_segment_name(name)) segments.push_back(name);
    REQUIRE(segments.size() >= 4);
    REQUIRE(f.disk.unlink("journal/" + segments[1]).ok());
    const auto error = f.refusal();
    CHECK(error.code == Errc::data_loss);
    CHECK(says(error, "expected record " + std::to_string(*parse_segment_name(segments[1]))));
}

TEST_CASE("a journal without any segment is data loss, not a new journal") {
    Fixture f;
    f.write({"one"});
    REQUIRE(f.disk.unlink(f.path(1)).ok());
    CHECK(says(f.refusal(), "no segment left"));
}

TEST_CASE("a journal with records whose gateway_id is gone says what to put there") {
    Fixture f;
    const auto id = f.open()->gateway_id().to_string();
    f.write({"one"});
    REQUIRE(f.disk.unlink("journal/gateway_id").ok());
    CHECK(says(f.refusal(), id));
}

TEST_CASE("a segment of another gateway or under another name is data loss") {
    Fixture f, other;
    f.write({"one"});
    other.write({"one"});
    f.disk.bytes(f.path(1)) = other.disk.bytes(other.path(1));
    CHECK(says(f.refusal(), "offset 16: expected gateway"));

    Fixture renamed;
    renamed.write({"one"});
    REQUIRE(renamed.disk.rename(renamed.path(1), renamed.path(2)).ok());
    CHECK(says(renamed.refusal(), "expected first sequence 2, found 1"));
}

TEST_CASE("a segment of a newer format is refused, naming file and both versions") {
    Fixture f;
    f.write({"one"});
    auto& bytes = f.disk.bytes(f.path(1));
    auto header = *decode_header(bytes);
    header.version = 7;
    const auto newer = encode_header(header);
    std::copy(newer.begin(), newer.end(), bytes.begin());
    const auto error = f.refusal();
    CHECK(error.code == Errc::failed_precondition);
    CHECK(says(error, f.path(1)));
    CHECK(says(error, "version 7"));
    CHECK(says(error, "version 1"));
}

TEST_CASE("a gateway_id that is none is data loss") {
    Fixture f;
    f.write({"one"});
    f.disk.bytes("journal/gateway_id")[3] = '!';
    CHECK(f.refusal().code == Errc::data_loss);
}

TEST_CASE("a start that was killed after its first segment takes that up") {
    Fixture f;
    const auto id = f.open()->gateway_id();
    REQUIRE(f.disk.unlink("journal/gateway_id").ok());  // the crash came before it was written
    CHECK(f.open()->gateway_id() == id);
    CHECK(f.disk.exists("journal/gateway_id"));
}

TEST_CASE("a spare that was used already, or has another size, is made anew") {
    Fixture f;
    f.write({"one"});
    f.disk.bytes("journal/reserved.usj")[5000] = 1;
    f.write({"two"});
    const auto& spare = f.disk.bytes("journal/reserved.usj");
    CHECK(std::count(spare.begin(), spare.end(), 0) == static_cast<std::ptrdiff_t>(segment_bytes));

    f.options.segment_bytes = 2 * segment_bytes;
    f.write({"three"});
    CHECK(f.disk.bytes("journal/reserved.usj").size() == 2 * segment_bytes);
    CHECK(f.read() == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("files that are none of the journal's are left alone") {
    Fixture f;
    f.write({"one"});
    REQUIRE(f.disk.create("journal/notes.txt", 3).ok());
    REQUIRE(f.disk.create("journal/1.usj", 3).ok());
    f.write({"two"});
    CHECK(f.disk.exists("journal/notes.txt"));
    CHECK(f.read() == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a segment's name is its first sequence in 20 digits") {
    CHECK(segment_name(42) == "00000000000000000042.usj");
    CHECK(parse_segment_name("00000000000000000042.usj") == 42u);
    CHECK(parse_segment_name("18446744073709551615.usj") == UINT64_MAX);
    for (const char* name : {"18446744073709551616.usj", "00000000000000000000.usj", "42.usj",
                             "0000000000000000004x.usj", "00000000000000000042.usk", "+0000000000000000042.usj", ""})
        CHECK_FALSE(parse_segment_name(name));
}

}  // namespace
}  // namespace usher::audit::journal
