#include "audit/journal/format.hpp"

#include <algorithm>

#include "catch.hpp"

namespace usher::audit::journal {
namespace {

using base::Errc;
using Kind = ScanEnd::Kind;

base::Uuid uuid(std::uint8_t n) {
    base::Uuid id;
    id.bytes.fill(n);
    return id;
}

using Batch = std::vector<std::string>;
using Batches = std::vector<Batch>;

/// A segment whose batches are given as lists of payloads, followed by zeros.
struct Built {
    SegmentHeader header{uuid(9), 100, base::from_micros(1'700'000'000'000'000)};
    std::vector<std::uint8_t> bytes;
    std::vector<std::size_t> starts;  ///< of the records
    std::size_t end = 0;

    explicit Built(const Batches& batches, std::size_t size = 16384) {
        bytes = encode_header(header);
        auto sequence = header.first_sequence;
        for (const auto& batch : batches) {
            std::uint16_t index = 0;
            for (const auto& payload : batch) {
                starts.push_back(bytes.size());
                encode_record({sequence++, base::from_micros(1'700'000'000'000'001), RecordType::access_opened, uuid(3),
                               payload, index++},
                              header.seed(), bytes);
            }
        }
        end = bytes.size();
        bytes.resize(size);
    }
};

struct Scanned {
    std::vector<std::string> payloads;
    ScanEnd end;
};

Scanned scan(const std::vector<std::uint8_t>& bytes, const SegmentHeader& header) {
    Scanned result;
    SegmentScanner scanner(bytes, header);
    while (auto record = scanner.next()) result.payloads.emplace_back(record->payload);
    result.end = scanner.end();
    return result;
}

TEST_CASE("a segment header comes back as it was written") {
    const SegmentHeader header{uuid(5), 77, base::from_micros(123)};
    const auto bytes = encode_header(header);
    REQUIRE(bytes.size() == header_bytes);
    const auto back = decode_header(bytes);
    REQUIRE(back.ok());
    CHECK(back->gateway == header.gateway);
    CHECK(back->first_sequence == 77);
    CHECK(back->created_at == header.created_at);
}

TEST_CASE("version 1 has these bytes") {
    Built built(Batches{Batch{"hi"}});
    built.bytes.resize(built.end);
    REQUIRE(built.end == 64 + 56);
    CHECK(std::string(built.bytes.begin(), built.bytes.begin() + 8) == "USHRJNL1");
    CHECK(built.bytes[8] == 1);
    CHECK(built.bytes[12] == 64);
    CHECK(built.bytes[16] == 9);
    CHECK(built.bytes[32] == 100);
    CHECK(built.bytes[64 + 4] == 2);     // payload length
    CHECK(built.bytes[64 + 12] == 1);    // type
    CHECK(built.bytes[64 + 13] == 1);    // record version
    CHECK(built.bytes[64 + 16] == 100);  // sequence
    CHECK(built.bytes[64 + 32] == 3);    // access id
    CHECK(built.bytes[64 + 48] == 'h');
    CHECK(built.bytes[64 + 50] == 0xa5);
    CHECK(built.bytes[64 + 55] == 0xa5);
}

TEST_CASE("a flip of any bit of a segment header is found") {
    const auto bytes = encode_header({uuid(5), 77, base::from_micros(123)});
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
        auto damaged = bytes;
        damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
        const auto back = decode_header(damaged);
        REQUIRE_FALSE(back.ok());
        REQUIRE(back.error().code == Errc::data_loss);
    }
    CHECK(decode_header(Bytes(bytes).first(63)).error().code == Errc::data_loss);
}

TEST_CASE("a newer format is refused, naming both versions") {
    const auto back = decode_header(encode_header({uuid(5), 77, base::from_micros(123), 2}));
    REQUIRE_FALSE(back.ok());
    CHECK(back.error().code == Errc::failed_precondition);
    CHECK(back.error().message.find("version 2") != std::string::npos);
    CHECK(back.error().message.find("version 1") != std::string::npos);
}

TEST_CASE("an intact record of an unknown type is said to be newer, not damaged") {
    Built built(Batches{Batch{"one"}});
    std::vector<std::uint8_t> record;
    encode_record({101, {}, static_cast<RecordType>(99), {}, "two", 0}, built.header.seed(), record);
    std::copy(record.begin(), record.end(), built.bytes.begin() + static_cast<std::ptrdiff_t>(built.end));
    const auto result = scan(built.bytes, built.header);
    CHECK(result.payloads.size() == 1);
    CHECK(result.end.kind == Kind::newer);
}

TEST_CASE("records come back in order, and zeros end them") {
    const Built built(Batches{Batch{"", "a"}, Batch{std::string(5000, 'b')}, Batch{"c", "d", "e"}});
    const auto result = scan(built.bytes, built.header);
    CHECK(result.payloads == std::vector<std::string>{"", "a", std::string(5000, 'b'), "c", "d", "e"});
    CHECK(result.end.kind == Kind::clean);
    CHECK(result.end.offset == built.end);
    CHECK(result.end.expected == 106);
}

TEST_CASE("a segment may be full to its last byte") {
    Built built(Batches{Batch{"a", "b"}});
    built.bytes.resize(built.end);
    const auto result = scan(built.bytes, built.header);
    CHECK(result.payloads.size() == 2);
    CHECK(result.end.kind == Kind::clean);
}

TEST_CASE("a last record cut at any byte is a torn end") {
    for (const std::size_t length : {0, 1, 7, 100, 2000}) {
        const Built built(Batches{Batch{"one"}, Batch{"two"}, Batch{std::string(length, 'x')}});
        for (std::size_t cut = built.starts.back() + 1; cut < built.end; ++cut) {
            auto bytes = built.bytes;
            std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(cut), bytes.end(), std::uint8_t{0});
            const auto result = scan(bytes, built.header);
            REQUIRE(result.payloads.size() == 2);
            REQUIRE(result.end.kind == Kind::torn);
            REQUIRE(result.end.offset == built.starts.back());
            REQUIRE(result.end.expected == 102);
        }
    }
}

TEST_CASE("a last batch that lost any set of its sectors is a torn end, whatever of it is intact") {
    const Built built(
        Batches{Batch{"one"}, Batch{std::string(700, 'a'), "b", std::string(300, 'c'), std::string(900, 'd'), "e"}},
        4096);
    const std::size_t first_sector = built.starts[1] / sector_bytes, last_sector = (built.end - 1) / sector_bytes;
    REQUIRE(last_sector - first_sector < 8);
    for (unsigned lost = 1; lost < 1u << (last_sector - first_sector + 1); ++lost) {
        auto bytes = built.bytes;
        for (std::size_t sector = first_sector; sector <= last_sector; ++sector)
            if ((lost >> (sector - first_sector) & 1u) != 0)
                for (std::size_t at = sector * sector_bytes; at < (sector + 1) * sector_bytes; ++at)
                    if (at >= built.starts[1]) bytes[at] = 0;
        const auto result = scan(bytes, built.header);
        if (lost == (1u << (last_sector - first_sector + 1)) - 1)
            REQUIRE(result.end.kind == Kind::clean);
        else
            REQUIRE(result.end.kind == Kind::torn);
        REQUIRE(result.payloads.size() < 6);
        REQUIRE(result.payloads.front() == "one");
    }
}

TEST_CASE("a last batch of which a sector is there in part is a torn end, whatever follows it") {
    // The disk had the last sectors already: of a sync that failed. Then power went while the batch was written again.
    const Built built(Batches{Batch{"one"}, Batch{std::string(700, 'a'), "b", std::string(300, 'c'), "d"}}, 4096);
    const std::size_t last_sector = (built.end - 1) / sector_bytes;
    for (std::size_t cut = built.starts[1]; cut < last_sector * sector_bytes; cut += 8) {
        auto bytes = built.bytes;
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(cut),
                  bytes.begin() + static_cast<std::ptrdiff_t>((cut / sector_bytes + 1) * sector_bytes),
                  std::uint8_t{0});
        const auto result = scan(bytes, built.header);
        INFO("cut at " << cut);
        REQUIRE(result.end.kind == Kind::torn);
        REQUIRE(result.payloads.size() < 5);
    }
}

TEST_CASE("a torn end of which some is covered with zeros is a torn end") {
    // A start was cut short while it covered the rest of a batch.
    const Built built(Batches{Batch{"one"}, Batch{std::string(700, 'a'), "b"}}, 4096);
    auto torn = built.bytes;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(built.starts[1] + 600), torn.end(), std::uint8_t{0});
    REQUIRE(scan(torn, built.header).end.kind == Kind::torn);
    for (std::size_t covered = built.starts[1] + 4; covered < built.starts[1] + 600; covered += 4) {
        auto bytes = torn;
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(built.starts[1]),
                  bytes.begin() + static_cast<std::ptrdiff_t>(covered), std::uint8_t{0});
        INFO("covered up to " << covered);
        REQUIRE(scan(bytes, built.header).end.kind == Kind::torn);
    }
}

TEST_CASE("a sector lost from a batch that a later one follows is damage") {
    const Built built(Batches{Batch{"one"}, Batch{std::string(1200, 'a')}, Batch{"later"}});
    auto bytes = built.bytes;
    std::fill(bytes.begin() + 512, bytes.begin() + 1024, std::uint8_t{0});
    const auto result = scan(bytes, built.header);
    CHECK(result.payloads.size() == 1);
    CHECK(result.end.kind == Kind::corrupt);
    CHECK(result.end.offset == built.starts[1]);
    CHECK(result.end.expected == 101);
    CHECK(result.end.found.find("102") != std::string::npos);
}

TEST_CASE("a flip of any bit of any record is found and located, in the last one too") {
    const Built built(
        Batches{Batch{"one", "two"}, Batch{std::string(600, 'x')}, Batch{std::string("zeros \0\0\0\0 inside", 17)}},
        1200);
    for (std::size_t bit = 8 * header_bytes; bit < 8 * built.end; ++bit) {
        auto bytes = built.bytes;
        bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
        const auto result = scan(bytes, built.header);
        const auto hit = static_cast<std::size_t>(std::upper_bound(built.starts.begin(), built.starts.end(), bit / 8) -
                                                  built.starts.begin() - 1);
        if (result.end.kind != Kind::corrupt)
            FAIL("bit " << bit << " was taken for " << static_cast<int>(result.end.kind));
        REQUIRE(result.payloads.size() == hit);
        REQUIRE(result.end.offset == built.starts[hit]);
        REQUIRE(result.end.expected == 100 + hit);
    }
}

TEST_CASE("a flip of any bit of a record without an access is damage wherever the record lies in a sector") {
    // Its header ends in zeros, as what was cut short at a sector's end does.
    for (std::size_t at = 0; at < sector_bytes; at += 8) {
        const SegmentHeader header{uuid(9), 100, {}};
        auto bytes = encode_header(header);
        encode_record({100, {}, RecordType::session, uuid(1), std::string(sector_bytes + at, 'x'), 0}, header.seed(),
                      bytes);
        const auto start = bytes.size();
        encode_record({101, base::from_micros(2'300'000'000'000'001), RecordType::admin, {}, "payload", 0},
                      header.seed(), bytes);
        const auto end = bytes.size();
        bytes.resize(4096);
        for (std::size_t bit = 8 * start; bit < 8 * end; ++bit) {
            auto flipped = bytes;
            flipped[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
            const auto result = scan(flipped, header);
            if (result.end.kind != Kind::corrupt) FAIL("a record at " << start << ", bit " << bit - 8 * start);
            REQUIRE(result.payloads.size() == 1);
        }
        for (const std::uint8_t type : {0x4c, 0xff, 0x08}) {
            auto garbled = bytes;
            garbled[start + 12] = type;
            if (scan(garbled, header).end.kind != Kind::corrupt) FAIL("a record at " << start << ", type " << +type);
        }
        // Two bits, and a time whose highest byte is a single one.
        for (std::size_t bit = 8 * (start + 16); bit < 8 * (start + 32); ++bit) {
            auto flipped = bytes;
            flipped[start + 4] ^= 1;
            flipped[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
            if (scan(flipped, header).end.kind != Kind::corrupt)
                FAIL("a record at " << start << ", bit " << bit - 8 * start << " and another");
        }
    }
}

TEST_CASE("stray bytes behind the last record never pass for a clean end") {
    const Built built(Batches{Batch{"one"}}, 4096);
    for (std::size_t at = built.end; at < built.bytes.size(); ++at) {
        auto bytes = built.bytes;
        bytes[at] = 1;
        const auto result = scan(bytes, built.header);
        REQUIRE(result.payloads.size() == 1);
        REQUIRE(result.end.kind != Kind::clean);
    }
}

TEST_CASE("a record of another segment, gateway or place is never valid") {
    const Built built(Batches{Batch{"one"}, Batch{"two"}});
    auto other = built.header;
    other.first_sequence = 101;
    CHECK(scan(built.bytes, other).payloads.empty());
    other = built.header;
    other.gateway = uuid(8);
    CHECK(scan(built.bytes, other).payloads.empty());

    auto swapped = built.bytes;  // the two records have one size
    std::copy(built.bytes.begin() + static_cast<std::ptrdiff_t>(built.starts[1]),
              built.bytes.begin() + static_cast<std::ptrdiff_t>(built.end),
              swapped.begin() + static_cast<std::ptrdiff_t>(built.starts[0]));
    const auto result = scan(swapped, built.header);
    CHECK(result.payloads.empty());
    CHECK(result.end.kind == Kind::corrupt);
    CHECK(result.end.found.find("sequence 101") != std::string::npos);
}

TEST_CASE("a record inside of a torn record's payload proves nothing") {
    std::vector<std::uint8_t> forged;
    const SegmentHeader guessed{uuid(1), 100, {}};
    encode_record({1'000'000, {}, RecordType::admin, {}, "forged", 0}, guessed.seed(), forged);
    std::string payload(8, 'x');
    payload.append(forged.begin(), forged.end());
    payload.append(600, 'y');
    const Built built(Batches{Batch{"one"}, Batch{payload}});
    auto bytes = built.bytes;
    bytes[built.end - 1] = 0;
    CHECK(scan(bytes, built.header).end.kind == Kind::torn);
}

TEST_CASE("the next batch's frame decides by bytes how much is needed") {
    const Built built(Batches{Batch{std::string(100, 'x')}});
    const auto frame = Bytes(built.bytes).subspan(header_bytes, frame_bytes(100));
    for (std::size_t n = 1; n < frame.size(); ++n) {
        const auto part = decode_frame(frame.first(n), built.header.seed());
        REQUIRE(part.kind == Frame::Kind::partial);
        REQUIRE(part.size == (n < frame_header_bytes ? frame_header_bytes : frame.size()));
    }
    CHECK(decode_frame(frame, built.header.seed()).kind == Frame::Kind::record);
    CHECK(decode_frame({}, 0).kind == Frame::Kind::zeros);
}

}  // namespace
}  // namespace usher::audit::journal
