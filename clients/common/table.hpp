#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace usher::clients {

/// The columns that a terminal needs for UTF-8 text: 2 for East Asian wide characters, 0 for combining marks, 1 for the
/// rest.
std::size_t display_width(std::string_view utf8);

struct Column {
    std::string title;
    bool right = false;  ///< numbers
};

/// Rows in columns for people. Cells are escaped (base::escape_for_terminal) and cut at 60 columns' worth of bytes,
/// except those of the last column, which end the line. Widths are taken from the rows of the first render(), so that a
/// listing may be printed page by page.
class Table {
public:
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
    /// One cell per column.
    void add(std::vector<std::string> cells);
    /// The text of what was added since the last call; the first call gives the titles too.
    std::string render();

private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
    std::vector<std::size_t> widths_;
};

/// "- name: value" blocks for one thing: a key column and a value column without titles.
class KeyValues {
public:
    void add(std::string key, std::string_view value);
    std::string render() const;

private:
    std::vector<std::pair<std::string, std::string>> rows_;
};

/// One CSV record of RFC 4180, with its CRLF.
class CsvRow {
public:
    /// Text from outside: quoted where needed; where a spreadsheet would read it as a formula (it begins with = + - @
    /// TAB CR) an apostrophe goes in front.
    void add_text(std::string_view text);
    /// A number or another value of our own form: as it is.
    void add_plain(std::string_view text);
    std::string finish() &&;

private:
    std::string line_;
    bool first_ = true;
};

/// "0 B", "1023 B", "1.0 KiB", "12 MiB": three digits at most.
std::string human_bytes(std::uint64_t bytes);
/// "850 us", "12 ms", "3.4 s", "5m12s", "2h03m".
std::string human_duration(std::int64_t microseconds);
/// "2026-11-23T10:20:30Z": RFC 3339 in whole seconds, for tables.
std::string short_time(base::UtcTime time);

}  // namespace usher::clients
