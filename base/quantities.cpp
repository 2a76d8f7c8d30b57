// Times, durations and sizes as people write them.
#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

#include "base/text.hpp"

namespace usher::base {
namespace {

using namespace std::chrono;

struct Unit {
    std::string_view suffix;
    std::int64_t microseconds;
};
/// From large to small: format_duration takes the first that divides.
constexpr std::array kUnits{
    Unit{"d", 86'400'000'000}, Unit{"h", 3'600'000'000}, Unit{"m", 60'000'000},
    Unit{"s", 1'000'000},      Unit{"ms", 1'000},        Unit{"us", 1},
};

constexpr UtcTime kFirst = sys_days{year{0} / January / 1};
constexpr UtcTime kLast = sys_days{year{10000} / January / 1} - microseconds{1};

/// Exactly `count` digits at `at`, which are taken.
std::optional<int> take_digits(std::string_view text, std::size_t& at, std::size_t count) {
    if (text.size() - at < count) return std::nullopt;
    int value = 0;
    for (const std::size_t end = at + count; at < end; ++at) {
        if (text[at] < '0' || text[at] > '9') return std::nullopt;
        value = value * 10 + (text[at] - '0');
    }
    return value;
}

}  // namespace

std::string format_rfc3339(UtcTime time) {
    time = std::clamp(time, kFirst, kLast);
    const auto day = floor<days>(time);
    const year_month_day date{day};
    const hh_mm_ss<microseconds> clock{time - day};
    std::array<char, 64> out;
    const int size =
        std::snprintf(out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", static_cast<int>(date.year()),
                      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                      static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
    return {out.data(), static_cast<std::size_t>(size)};
}

std::optional<UtcTime> parse_rfc3339(std::string_view text) {
    if (text.size() > 30 || text.empty() || text.back() != 'Z') return std::nullopt;
    text.remove_suffix(1);
    std::size_t at = 0;
    // Each field and the character that stands before it.
    std::array<int, 6> field{};
    constexpr std::array<std::size_t, 6> width{4, 2, 2, 2, 2, 2};
    constexpr std::string_view before = " --T::";
    for (std::size_t i = 0; i < field.size(); ++i) {
        if (i > 0 && (at >= text.size() || text[at++] != before[i])) return std::nullopt;
        const auto value = take_digits(text, at, width[i]);
        if (!value) return std::nullopt;
        field[i] = *value;
    }
    int fraction_us = 0;
    if (at < text.size()) {
        if (text[at++] != '.') return std::nullopt;
        const std::size_t decimals = text.size() - at;
        if (decimals < 1 || decimals > 9) return std::nullopt;
        const auto value = take_digits(text, at, decimals);
        if (!value) return std::nullopt;
        fraction_us = *value;
        for (std::size_t i = decimals; i < 6; ++i) fraction_us *= 10;
        for (std::size_t i = decimals; i > 6; --i) fraction_us /= 10;
    }
    const year_month_day date{year{field[0]}, month{static_cast<unsigned>(field[1])},
                              day{static_cast<unsigned>(field[2])}};
    if (!date.ok() || field[3] > 23 || field[4] > 59 || field[5] > 59) return std::nullopt;
    return UtcTime{sys_days{date}} + hours{field[3]} + minutes{field[4]} + seconds{field[5]} +
           microseconds{fraction_us};
}

std::optional<Microseconds> parse_duration(std::string_view text) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    for (const Unit& unit : kUnits) {
        if (text.substr(digits) != unit.suffix) continue;
        const auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / unit.microseconds);
        const auto count = parse_unsigned(text.substr(0, digits), max);
        if (!count || *count == 0) return std::nullopt;
        return Microseconds{static_cast<std::int64_t>(*count) * unit.microseconds};
    }
    return std::nullopt;
}

std::string format_duration(Microseconds duration) {
    const std::int64_t us = duration.count();
    if (us == 0) return "0s";
    const auto* unit =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return us % u.microseconds == 0; });
    return std::to_string(us / unit->microseconds).append(unit->suffix);
}

std::optional<std::uint64_t> parse_byte_size(std::string_view text) {
    struct Size {
        std::string_view suffix;
        unsigned shift;
    };
    constexpr std::array sizes{Size{"", 0}, Size{"KiB", 10}, Size{"MiB", 20}, Size{"GiB", 30}};
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    for (const Size& size : sizes) {
        if (text.substr(digits) != size.suffix) continue;
        const auto count =
            parse_unsigned(text.substr(0, digits), std::numeric_limits<std::uint64_t>::max() >> size.shift);
        if (!count) return std::nullopt;
        return *count << size.shift;
    }
    return std::nullopt;
}

}  // namespace usher::base
