#include "auth/time_window.hpp"

#include <date/tz.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>

namespace usher::auth {
namespace {

constexpr std::array<std::string_view, 7> day_names{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr unsigned day_minutes = 24 * 60;
constexpr std::uint8_t every_day = 0x7f;

std::optional<unsigned> day_of(std::string_view name) {
    const auto found = std::find(day_names.begin(), day_names.end(), name);
    if (found == day_names.end()) return std::nullopt;
    return static_cast<unsigned>(found - day_names.begin());
}

/// Days and ranges rise, so that one set of days has few spellings and a slip ("fri-mon") is seen.
std::optional<std::uint8_t> parse_days(std::string_view text) {
    if (text == "daily") return every_day;
    unsigned days = 0, next = 0;
    for (bool more = true; more;) {
        const auto comma = text.find(',');
        const auto item = text.substr(0, comma);
        more = comma != std::string_view::npos;
        text.remove_prefix(more ? comma + 1 : text.size());
        const auto dash = item.find('-');
        const auto first = day_of(item.substr(0, dash));
        const auto last = dash == std::string_view::npos ? first : day_of(item.substr(dash + 1));
        if (!first || !last || *first < next || *last < *first) return std::nullopt;
        for (unsigned day = *first; day <= *last; ++day) days |= 1u << day;
        next = *last + 1;
    }
    return static_cast<std::uint8_t>(days);
}

/// HH:MM in minutes.
std::optional<std::uint16_t> parse_minute(std::string_view text) {
    if (text.size() != 5 || text[2] != ':') return std::nullopt;
    const auto digit = [&](std::size_t i) { return static_cast<unsigned char>(text[i]) - unsigned{'0'}; };
    for (const std::size_t i : {0, 1, 3, 4})
        if (digit(i) > 9) return std::nullopt;
    const unsigned minute = digit(3) * 10 + digit(4);
    const unsigned all = (digit(0) * 10 + digit(1)) * 60 + minute;
    if (minute > 59 || all > day_minutes) return std::nullopt;
    return static_cast<std::uint16_t>(all);
}

const date::time_zone* find_zone(std::string_view name) {
    const bool plain = !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
               c == '+' || c == '/';
    });
    if (!plain) return nullptr;
    try {
        const auto* zone = date::locate_zone(name);
        // A zone's file is read at its first use: now, not while an access is judged.
        static_cast<void>(zone->to_local(date::sys_days{}));
        // An alias would come back under another name, and the text that was given must stay.
        return zone->name() == name ? zone : nullptr;
    } catch (const std::runtime_error&) {
        return nullptr;  // no such zone: the caller says so
    }
}

std::string minute_text(unsigned minute) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%02u:%02u", minute / 60, minute % 60);
    return text.data();
}

}  // namespace

std::optional<TimeWindow> TimeWindow::parse(std::string_view text) {
    const auto first = text.find(' ');
    const auto last = text.rfind(' ');
    if (first == std::string_view::npos || first == last) return std::nullopt;
    const auto hours = text.substr(first + 1, last - first - 1);
    if (hours.size() != 11 || hours[5] != '-') return std::nullopt;
    const auto days = parse_days(text.substr(0, first));
    const auto from = parse_minute(hours.substr(0, 5));
    const auto to = parse_minute(hours.substr(6));
    if (!days || !from || !to || *from == *to || *from == day_minutes || *to == 0) return std::nullopt;
    TimeWindow window;
    window.zone_ = find_zone(text.substr(last + 1));
    if (window.zone_ == nullptr) return std::nullopt;
    window.days_ = *days;
    window.from_minute_ = *from;
    window.to_minute_ = *to;
    return window;
}

std::string TimeWindow::to_string() const {
    std::string days;
    if (days_ == every_day) days = "daily";
    for (unsigned day = 0; days_ != every_day && day < 7; ++day) {
        if (!has(day)) continue;
        unsigned last = day;
        while (last < 6 && has(last + 1)) ++last;
        if (!days.empty()) days += ',';
        days += day_names[day];
        if (last > day) days.append("-").append(day_names[last]);
        day = last;
    }
    return days + ' ' + minute_text(from_minute_) + '-' + minute_text(to_minute_) + ' ' + zone_->name();
}

bool TimeWindow::contains(base::UtcTime time) const {
    const auto local = date::floor<std::chrono::minutes>(zone_->to_local(date::floor<std::chrono::seconds>(time)));
    const auto midnight = date::floor<date::days>(local);
    const auto minute = static_cast<unsigned>((local - midnight).count());
    const unsigned day = date::weekday(midnight).iso_encoding() - 1;
    if (from_minute_ < to_minute_) return has(day) && from_minute_ <= minute && minute < to_minute_;
    return (has(day) && minute >= from_minute_) || (has((day + 6) % 7) && minute < to_minute_);
}

}  // namespace usher::auth
