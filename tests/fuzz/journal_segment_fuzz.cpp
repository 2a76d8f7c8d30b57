#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "audit/journal/format.hpp"

// First byte even: the rest is a segment, as a start reads it. Odd: a segment is built whose records are pieces of the
// rest, and then damaged as the rest says; only what was written may come back.
namespace {

using namespace usher;
using namespace usher::audit::journal;

void require(bool holds) {
    if (!holds) std::abort();
}

std::vector<std::string> scan(Bytes segment, const SegmentHeader& header) {
    std::vector<std::string> payloads;
    SegmentScanner scanner(segment, header);
    std::size_t last = header_bytes;
    while (const auto record = scanner.next()) {
        require(record->sequence == header.first_sequence + payloads.size());
        require(scanner.offset() > last && scanner.offset() <= segment.size());
        last = scanner.offset();
        payloads.emplace_back(record->payload);
    }
    require(scanner.end().offset == last || segment.size() < header_bytes);
    return payloads;
}

void read_any(Bytes bytes) {
    (void)decode_frame(bytes, 0);
    if (const auto header = decode_header(bytes)) (void)scan(bytes, *header);
    SegmentHeader header;  // a whole header is hard to guess
    header.gateway.bytes.fill(7);
    (void)scan(bytes, header);
}

void damage_and_read(Bytes bytes) {
    const SegmentHeader header{{}, 1, {}};
    auto segment = encode_header(header);
    std::vector<std::string> written;
    std::uint16_t index = 0;
    std::size_t at = 0;
    while (at + 1 < bytes.size() && written.size() < 20) {
        const auto size = std::min<std::size_t>(bytes[at] / 2 * 8, bytes.size() - at - 1);
        if (bytes[at] % 2 == 0) index = 0;
        written.emplace_back(reinterpret_cast<const char*>(bytes.data()) + at + 1, size);
        encode_record({written.size(), {}, audit::RecordType::admin, {}, written.back(), index++}, header.seed(),
                      segment);
        at += size + 1;
    }
    segment.resize(segment.size() + 1024);
    require(scan(segment, header) == written);
    for (std::size_t i = 0; i + 2 < bytes.size() && i < 12; i += 3) {
        const std::size_t place = (std::size_t{bytes[i]} << 8 | bytes[i + 1]) % segment.size();
        if (place < header_bytes) continue;
        if (bytes[i + 2] < 128)
            segment[place] ^= bytes[i + 2];
        else
            std::fill_n(segment.begin() + static_cast<std::ptrdiff_t>(place),
                        std::min<std::size_t>(512, segment.size() - place), 0);
    }
    const auto found = scan(segment, header);
    require(found.size() <= written.size() && std::equal(found.begin(), found.end(), written.begin()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const Bytes bytes(data + 1, size - 1);
    if (data[0] % 2 == 0)
        read_any(bytes);
    else
        damage_and_read(bytes);
    return 0;
}
