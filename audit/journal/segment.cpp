#include "audit/journal/segment.hpp"

#include <algorithm>
#include <cassert>
#include <cstdio>

#include "audit/journal/format.hpp"

namespace usher::audit::journal {
namespace {
constexpr std::uint64_t records_between_marks = 256;
constexpr std::uint64_t bytes_between_marks = 64u << 10;
constexpr std::size_t digits = 20;
constexpr std::string_view suffix = ".usj";
}  // namespace

void Segment::mark(std::uint64_t sequence, std::uint64_t offset) {
    if (!marks.empty() && sequence - marks.back().sequence < records_between_marks &&
        offset - marks.back().offset < bytes_between_marks)
        return;
    marks.push_back({sequence, offset});
}

Segment::Mark Segment::before(std::uint64_t sequence) const {
    assert(sequence >= first && sequence <= last);
    const auto after = std::upper_bound(marks.begin(), marks.end(), sequence,
                                        [](std::uint64_t wanted, const Mark& mark) { return wanted < mark.sequence; });
    if (after == marks.begin()) return {first, header_bytes};
    return *std::prev(after);
}

std::string segment_name(std::uint64_t first_sequence) {
    std::string number = std::to_string(first_sequence);
    return std::string(digits - number.size(), '0') + number + std::string(suffix);
}

std::optional<std::uint64_t> parse_segment_name(std::string_view name) noexcept {
    if (name.size() != digits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : name.substr(0, digits)) {
        if (c < '0' || c > '9') return std::nullopt;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (value > (UINT64_MAX - digit) / 10) return std::nullopt;
        value = value * 10 + digit;
    }
    if (value == 0) return std::nullopt;
    return value;
}

}  // namespace usher::audit::journal
