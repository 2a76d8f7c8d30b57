#include "clients/common/table.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/text.hpp"

namespace usher::clients {

namespace {

constexpr std::size_t cell_limit_bytes = 60;

struct Range {
    char32_t first, last;
};
// Unicode 15, EastAsianWidth W and F in the large blocks; enough to keep columns straight.
constexpr std::array wide{Range{0x1100, 0x115f},   Range{0x2e80, 0x303e},  Range{0x3041, 0x33ff},
                          Range{0x3400, 0x4dbf},   Range{0x4e00, 0x9fff},  Range{0xa000, 0xa4cf},
                          Range{0xac00, 0xd7a3},   Range{0xf900, 0xfaff},  Range{0xfe30, 0xfe6f},
                          Range{0xff00, 0xff60},   Range{0xffe0, 0xffe6},  Range{0x1f300, 0x1f64f},
                          Range{0x1f900, 0x1f9ff}, Range{0x20000, 0x3fffd}};
constexpr std::array combining{Range{0x0300, 0x036f}, Range{0x0483, 0x0489}, Range{0x0591, 0x05bd},
                               Range{0x1ab0, 0x1aff}, Range{0x1dc0, 0x1dff}, Range{0x20d0, 0x20ff},
                               Range{0xfe00, 0xfe0f}, Range{0xfe20, 0xfe2f}};

template <std::size_t N>
bool is_in(char32_t c, const std::array<Range, N>& ranges) {
    return std::any_of(ranges.begin(), ranges.end(), [c](Range r) { return c >= r.first && c <= r.last; });
}

template <class... Values>
std::string printed(const char* format, Values... values) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), format, values...);
    return text.data();
}

}  // namespace

std::size_t display_width(std::string_view utf8) {
    std::size_t width = 0;
    for (std::size_t i = 0; i < utf8.size();) {
        const auto lead = static_cast<unsigned char>(utf8[i]);
        const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        char32_t c = length == 1 ? lead : lead & (0xffU >> (length + 1));
        for (std::size_t k = 1; k < length && i + k < utf8.size(); ++k)
            c = (c << 6) | (static_cast<unsigned char>(utf8[i + k]) & 0x3f);
        i += length;
        if (is_in(c, combining)) continue;
        width += is_in(c, wide) ? 2 : 1;
    }
    return width;
}

void Table::add(std::vector<std::string> cells) {
    cells.resize(columns_.size());
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const bool last = i + 1 == cells.size();
        cells[i] = cells[i].empty() ? "-" : base::escape_for_terminal(cells[i], last ? 4096 : cell_limit_bytes);
    }
    rows_.push_back(std::move(cells));
}

std::string Table::render() {
    std::string out;
    if (widths_.empty()) {
        std::vector<std::string> titles;
        for (const auto& column : columns_) titles.push_back(column.title);
        rows_.insert(rows_.begin(), std::move(titles));
        widths_.assign(columns_.size(), 0);
        for (const auto& row : rows_)
            for (std::size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], display_width(row[i]));
    }
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::size_t width = display_width(row[i]);
            const std::size_t padding = widths_[i] > width ? widths_[i] - width : 0;
            if (columns_[i].right) out.append(padding, ' ');
            out += row[i];
            if (i + 1 == row.size()) break;
            if (!columns_[i].right) out.append(padding, ' ');
            out += "  ";
        }
        out += '\n';
    }
    rows_.clear();
    return out;
}

void KeyValues::add(std::string key, std::string_view value) {
    rows_.emplace_back(std::move(key), value.empty() ? "-" : base::escape_for_terminal(value));
}

std::string KeyValues::render() const {
    std::size_t width = 0;
    for (const auto& row : rows_) width = std::max(width, row.first.size());
    std::string out;
    for (const auto& [key, value] : rows_) out += key + ":" + std::string(width - key.size() + 2, ' ') + value + "\n";
    return out;
}

void CsvRow::add_plain(std::string_view text) {
    if (!first_) line_ += ',';
    first_ = false;
    line_ += text;
}

void CsvRow::add_text(std::string_view text) {
    std::string cell;
    if (!text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos) cell = "'";
    cell += text;
    if (cell.find_first_of(",\"\r\n") != std::string::npos) {
        std::string quoted = "\"";
        for (const char c : cell) {
            if (c == '"') quoted += '"';
            quoted += c;
        }
        cell = quoted + "\"";
    }
    add_plain(cell);
}

std::string CsvRow::finish() && { return std::move(line_) + "\r\n"; }

std::string human_bytes(std::uint64_t bytes) {
    if (bytes < 1024) return std::to_string(bytes) + " B";
    static constexpr std::array units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    return printed(value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

std::string human_duration(std::int64_t microseconds) {
    if (microseconds < 0) return "-" + human_duration(microseconds == INT64_MIN ? INT64_MAX : -microseconds);
    if (microseconds < 1000) return printed("%lld us", static_cast<long long>(microseconds));
    if (microseconds < 1'000'000) return printed("%lld ms", static_cast<long long>(microseconds / 1000));
    if (microseconds < 60'000'000)
        return printed("%lld.%lld s", static_cast<long long>(microseconds / 1'000'000),
                       static_cast<long long>(microseconds / 100'000 % 10));
    const long long seconds = microseconds / 1'000'000;
    if (seconds < 3600) return printed("%lldm%02llds", seconds / 60, seconds % 60);
    if (seconds < 86'400) return printed("%lldh%02lldm", seconds / 3600, seconds / 60 % 60);
    return printed("%lldd%02lldh", seconds / 86'400, seconds / 3600 % 24);
}

std::string short_time(base::UtcTime time) {
    std::string text = base::format_rfc3339(time);
    if (const auto dot = text.find('.'); dot != std::string::npos) text = text.substr(0, dot) + "Z";
    return text;
}

}  // namespace usher::clients
