#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace usher::clients::control {

constexpr std::size_t csv_columns_max = 100;
constexpr std::size_t csv_cell_bytes_max = 16 * 1024;

/// One record of a CSV text, and the line on which it begins.
struct CsvRecord {
    std::size_t line = 0;
    std::vector<std::string> cells;
};

/// Reads CSV (RFC 4180): cells separated by commas, quoted with '"' where they hold one of `,"` or a line's end, lines
/// ended by CRLF or LF. A byte order mark is passed over, and lines that hold nothing. Strict: a quote inside of a bare
/// cell, text behind a closing quote, a quote that is never closed, a bare CR, bytes that are not UTF-8, a NUL, and
/// records that have not as many cells as the first are errors that begin with "LINE: ". Pure.
base::Result<std::vector<CsvRecord>> read_csv(std::string_view text);

}  // namespace usher::clients::control
