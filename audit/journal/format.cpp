#include "audit/journal/format.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "base/crc32c.hpp"

namespace usher::audit::journal {
namespace {

constexpr std::string_view magic = "USHRJNL1";
constexpr std::uint8_t record_version = 1;
/// Closes every frame. Not zero, so that a frame whose end never reached the disk can be told from one that rotted
/// there.
constexpr std::uint8_t end_mark = 0xa5;

// Offsets in a segment header.
constexpr std::size_t at_version = 8, at_header_bytes = 12, at_gateway = 16, at_first = 32, at_created = 40,
                      at_zeros = 48, at_header_crc = 60;
// Offsets in a frame header.
constexpr std::size_t at_frame_crc = 0, at_length = 4, at_payload_crc = 8, at_type = 12, at_record_version = 13,
                      at_batch_index = 14, at_sequence = 16, at_recorded = 24, at_access = 32;

template <class T>
void put(std::uint8_t* to, T value) noexcept {
    for (std::size_t i = 0; i < sizeof(T); ++i)
        to[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i));
}

template <class T>
T get(const std::uint8_t* from) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<std::uint64_t>(from[i]) << (8 * i);
    return static_cast<T>(value);
}

bool is_known(std::uint8_t type) noexcept {
    return type >= static_cast<std::uint8_t>(RecordType::access_opened) &&
           type <= static_cast<std::uint8_t>(RecordType::system);
}

bool zeros(Bytes bytes) noexcept {
    // Compared with itself, one byte on: a memcmp is several times faster than a loop over bytes.
    return bytes.empty() || (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// Whether a record whose type is so, right or wrong, may name an access. Of one that does not the header ends in
/// zeros. A type that was lost is zero.
bool may_name_access(std::uint8_t type) noexcept {
    return type <= static_cast<std::uint8_t>(RecordType::access_denied);
}

/// Whether a flip of one bit makes the header's checksum match, but for those in words of zeros at its end: what is
/// missing there may be one bit.
bool is_one_bit_off(Bytes header, std::uint32_t seed) noexcept {
    if (header.size() < frame_header_bytes) return false;
    std::array<std::uint8_t, frame_header_bytes> tried;
    std::copy_n(header.begin(), tried.size(), tried.begin());
    std::size_t used = tried.size();
    while (used > 0 && zeros(header.subspan(used - word_bytes, word_bytes))) used -= word_bytes;
    for (std::size_t bit = 0; bit < 8 * used; ++bit) {
        const auto flip = static_cast<std::uint8_t>(1u << bit % 8);
        tried[bit / 8] ^= flip;
        if (base::crc32c(Bytes(tried).subspan(at_length), seed) == get<std::uint32_t>(&tried[at_frame_crc]))
            return true;
        tried[bit / 8] ^= flip;
    }
    return false;
}

}  // namespace

std::uint32_t SegmentHeader::seed() const noexcept {
    std::array<std::uint8_t, 8> first{};
    put(first.data(), first_sequence);
    return base::crc32c(first, base::crc32c(gateway.bytes));
}

std::vector<std::uint8_t> encode_header(const SegmentHeader& header) {
    std::vector<std::uint8_t> out(header_bytes);
    std::copy(magic.begin(), magic.end(), out.begin());
    put(out.data() + at_version, header.version);
    put(out.data() + at_header_bytes, static_cast<std::uint32_t>(header_bytes));
    std::copy(header.gateway.bytes.begin(), header.gateway.bytes.end(), out.begin() + at_gateway);
    put(out.data() + at_first, header.first_sequence);
    put(out.data() + at_created, base::to_micros(header.created_at));
    put(out.data() + at_header_crc, base::crc32c(Bytes(out).first(at_header_crc)));
    return out;
}

base::Result<SegmentHeader> decode_header(Bytes bytes) {
    using base::Errc;
    if (bytes.size() < header_bytes)
        return {Errc::data_loss, "it is too short for a segment header: " + std::to_string(bytes.size()) +
                                     " bytes, expected at least " + std::to_string(header_bytes)};
    if (!std::equal(magic.begin(), magic.end(), bytes.begin()))
        return {Errc::data_loss, "offset 0: expected the mark USHRJNL1 of a journal segment, found something else"};
    if (base::crc32c(bytes.first(at_header_crc)) != get<std::uint32_t>(&bytes[at_header_crc]))
        return {Errc::data_loss, "offset 0: the segment header's checksum does not match its bytes"};
    // Every version keeps these 64 bytes and their checksum, so a version read here is one that was written.
    SegmentHeader header;
    header.version = get<std::uint32_t>(&bytes[at_version]);
    if (header.version != format_version)
        return {Errc::failed_precondition, "it has journal format version " + std::to_string(header.version) +
                                               "; this Usher reads version " + std::to_string(format_version) +
                                               " only: start the release that wrote it"};
    if (get<std::uint32_t>(&bytes[at_header_bytes]) != header_bytes ||
        !zeros(bytes.subspan(at_zeros, at_header_crc - at_zeros)))
        return {Errc::data_loss, "offset 0: the segment header holds values that version 1 does not have"};
    std::copy_n(bytes.begin() + at_gateway, header.gateway.bytes.size(), header.gateway.bytes.begin());
    header.first_sequence = get<std::uint64_t>(&bytes[at_first]);
    header.created_at = base::from_micros(get<std::int64_t>(&bytes[at_created]));
    if (header.first_sequence == 0)
        return {Errc::data_loss, "offset 0: the segment starts with sequence 0; sequences start with 1"};
    return header;
}

void encode_record(const RecordView& record, std::uint32_t seed, std::vector<std::uint8_t>& out) {
    assert(record.payload.size() <= payload_bytes_max && record.batch_index < batch_records_max && record.sequence > 0);
    const std::size_t start = out.size();
    const std::size_t size = frame_bytes(record.payload.size());
    out.resize(start + size, end_mark);
    std::uint8_t* frame = out.data() + start;
    if (!record.payload.empty()) std::memcpy(frame + frame_header_bytes, record.payload.data(), record.payload.size());

    put(frame + at_length, static_cast<std::uint32_t>(record.payload.size()));
    put(frame + at_payload_crc, base::crc32c(Bytes(frame + frame_header_bytes, record.payload.size()), seed));
    frame[at_type] = static_cast<std::uint8_t>(record.type);
    frame[at_record_version] = record_version;
    put(frame + at_batch_index, record.batch_index);
    put(frame + at_sequence, record.sequence);
    put(frame + at_recorded, base::to_micros(record.recorded_at));
    std::copy(record.access_id.bytes.begin(), record.access_id.bytes.end(), frame + at_access);
    put(frame + at_frame_crc, base::crc32c(Bytes(frame + at_length, frame_header_bytes - at_length), seed));
}

Frame decode_frame(Bytes bytes, std::uint32_t seed) noexcept {
    Frame frame;
    if (bytes.size() < frame_header_bytes) {
        frame.kind = zeros(bytes) ? Frame::Kind::zeros : Frame::Kind::partial;
        frame.size = frame_header_bytes;
        return frame;
    }
    const auto header = bytes.first(frame_header_bytes);
    const auto length = get<std::uint32_t>(&header[at_length]);
    if (length == 0 && zeros(header)) {
        frame.kind = Frame::Kind::zeros;
        return frame;
    }
    if (base::crc32c(header.subspan(at_length), seed) != get<std::uint32_t>(&header[at_frame_crc])) {
        frame.found = "a record header whose checksum does not match its bytes";
        return frame;
    }
    if (length > payload_bytes_max) {
        frame.found = "a record longer than 1 MiB";
        return frame;
    }
    frame.size = frame_bytes(length);
    if (bytes.size() < frame.size) {
        frame.kind = Frame::Kind::partial;
        frame.found = "a record that goes on past the end of the segment";
        return frame;
    }
    const auto payload = bytes.subspan(frame_header_bytes, length);
    if (base::crc32c(payload, seed) != get<std::uint32_t>(&header[at_payload_crc])) {
        frame.found = "a record whose payload does not match its checksum";
        return frame;
    }
    const auto mark = bytes.subspan(frame_header_bytes + length, frame.size - frame_header_bytes - length);
    if (!std::all_of(mark.begin(), mark.end(), [](std::uint8_t b) { return b == end_mark; })) {
        frame.found = "a record without its end mark";
        return frame;
    }
    if (header[at_record_version] != record_version || !is_known(header[at_type])) {
        frame.kind = Frame::Kind::newer;
        frame.found =
            header[at_record_version] != record_version ? "a record of another version" : "a record of an unknown type";
        return frame;
    }
    RecordView& record = frame.record;
    record.sequence = get<std::uint64_t>(&header[at_sequence]);
    record.recorded_at = base::from_micros(get<std::int64_t>(&header[at_recorded]));
    record.type = static_cast<RecordType>(header[at_type]);
    record.batch_index = get<std::uint16_t>(&header[at_batch_index]);
    std::copy_n(header.begin() + at_access, record.access_id.bytes.size(), record.access_id.bytes.begin());
    record.payload = {reinterpret_cast<const char*>(payload.data()), payload.size()};
    if (record.sequence <= record.batch_index) {
        frame.found = "a record whose place in its batch is impossible";
        return frame;
    }
    frame.kind = Frame::Kind::record;
    return frame;
}

std::optional<RecordView> SegmentScanner::next() {
    if (offset_ >= bytes_.size()) return finish(ScanEnd::Kind::clean, {});
    const Frame frame = decode_frame(bytes_.subspan(offset_), seed_);
    switch (frame.kind) {
        case Frame::Kind::record:
            break;
        case Frame::Kind::newer:
            return finish(ScanEnd::Kind::newer, std::string(frame.found));
        case Frame::Kind::zeros:
            if (all_zero(offset_, bytes_.size())) return finish(ScanEnd::Kind::clean, {});
            [[fallthrough]];
        case Frame::Kind::partial:
        case Frame::Kind::bad:
            return judge_damage(frame);
    }
    if (frame.record.sequence != expected_)
        return finish(ScanEnd::Kind::corrupt,
                      "an intact record with sequence " + std::to_string(frame.record.sequence));
    if (frame.record.batch_index != 0 && frame.record.batch_index != next_index_)
        return finish(ScanEnd::Kind::corrupt, "an intact record that is not the next one of its batch");
    offset_ += frame.size;
    ++expected_;
    next_index_ = static_cast<std::uint16_t>(frame.record.batch_index + 1);
    return frame.record;
}

std::optional<RecordView> SegmentScanner::finish(ScanEnd::Kind kind, std::string found) {
    end_ = {kind, offset_, expected_, std::move(found)};
    return std::nullopt;
}

bool SegmentScanner::all_zero(std::size_t from, std::size_t to) const noexcept {
    return from >= to || zeros(bytes_.subspan(from, to - from));
}

// A write that the power cut short leaves the segment's first content, which is zeros, in place of what is missing:
// from some byte on, or in whole sectors or from somewhere up to a sector's end, in any order (what is missing in the
// middle of a sector is at least a word of memory). A start that was cut short while it covered such a rest with zeros
// leaves zeros in front of it. Bytes that are there but wrong were damaged later.
bool SegmentScanner::something_missing(const Frame& frame) const noexcept {
    const bool header_intact = frame.size > frame_header_bytes;
    const std::size_t end = std::min(bytes_.size(), offset_ + (header_intact ? frame.size : frame_header_bytes));
    // Every frame ends in a mark that is not zero, so zeros from its header's or its own end on mean that the end is
    // missing.
    if (header_intact ? bytes_[end - 1] == 0 && all_zero(end, bytes_.size()) : all_zero(end, bytes_.size()))
        return true;
    // One bit that is wrong in a header is no zeros that are left, though a header may hold zeros where a sector ends.
    if (!header_intact && is_one_bit_off(bytes_.subspan(offset_, end - offset_), seed_)) return false;
    // A frame starts with a checksum, which is not zero but once in four thousand million.
    if (!header_intact && all_zero(offset_, std::min(end, offset_ + at_length))) return true;
    // Of what the header's checksum shows to be whole nothing is missing. Nor is it where a header has zeros of its
    // own: were nothing missing but these, the checksum would match.
    const std::size_t from = offset_ + (header_intact ? frame_header_bytes : 0);
    const bool own_zeros =
        !header_intact && end == offset_ + frame_header_bytes && !may_name_access(bytes_[offset_ + at_type]);
    const std::size_t last = own_zeros ? offset_ + at_recorded : end - 1;
    for (std::size_t sector = from / sector_bytes * sector_bytes; sector <= last; sector += sector_bytes) {
        const std::size_t sector_end = std::min(sector + sector_bytes, bytes_.size());
        const std::size_t last_word = std::max(from, sector_end - std::min(sector_end, word_bytes));
        if (all_zero(std::min(last_word, last), sector_end)) return true;
    }
    return false;
}

std::optional<RecordView> SegmentScanner::judge_damage(const Frame& frame) {
    std::string found(frame.found.empty() ? "bytes that are no record" : frame.found);
    if (frame.kind == Frame::Kind::partial && frame.size > bytes_.size() - offset_ && frame.size > frame_header_bytes)
        return finish(ScanEnd::Kind::corrupt, std::move(found));  // a writer never starts a record that does not fit
    if (!something_missing(frame)) return finish(ScanEnd::Kind::corrupt, std::move(found));

    // What comes after may be of the same batch, which was not durable; a later batch proves that this record was.
    const bool header_intact = frame.size > frame_header_bytes;
    for (std::size_t at = offset_ + (header_intact ? frame.size : 8); at + frame_header_bytes < bytes_.size();
         at += 8) {
        const Frame later = decode_frame(bytes_.subspan(at), seed_);
        if (later.kind != Frame::Kind::record) continue;
        if (later.record.sequence - later.record.batch_index > expected_)
            return finish(ScanEnd::Kind::corrupt, found + ", and the intact record " +
                                                      std::to_string(later.record.sequence) +
                                                      " of a later write at offset " + std::to_string(at));
        at += later.size - 8;
    }
    return finish(ScanEnd::Kind::torn, std::move(found));
}

}  // namespace usher::audit::journal
