#include "clients/usherctl/csv_reader.hpp"

#include "base/text.hpp"

namespace usher::clients::control {
namespace {

using base::Errc;
using base::Error;
using base::Result;

class CsvReader {
public:
    explicit CsvReader(std::string_view text) : text_(text) {
        if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
    }

    Result<std::vector<CsvRecord>> read() {
        std::vector<CsvRecord> records;
        while (at_ < text_.size()) {
            if (take_line_end()) continue;
            CsvRecord record;
            record.line = line_;
            if (auto ok = read_record(record); !ok) return ok.error();
            if (!records.empty() && record.cells.size() != records.front().cells.size())
                return error(record.line, "has " + std::to_string(record.cells.size()) + " cells, expected " +
                                              std::to_string(records.front().cells.size()) + " as in line " +
                                              std::to_string(records.front().line));
            records.push_back(std::move(record));
        }
        return records;
    }

private:
    static Error error(std::size_t line, const std::string& problem) {
        return {Errc::invalid_argument, std::to_string(line) + ": " + problem};
    }

    bool take_line_end() {
        const auto rest = text_.substr(at_);
        const std::size_t length = rest.starts_with("\r\n") ? 2 : rest.starts_with('\n') ? 1 : 0;
        at_ += length;
        line_ += length != 0 ? 1 : 0;
        return length != 0;
    }

    Result<void> read_record(CsvRecord& record) {
        for (;;) {
            std::string cell;
            const auto begin = line_;
            if (auto ok = at_ < text_.size() && text_[at_] == '"' ? read_quoted(cell) : read_bare(cell); !ok) return ok;
            if (cell.size() > csv_cell_bytes_max)
                return error(begin, "a cell is longer than " + std::to_string(csv_cell_bytes_max) + " bytes");
            if (!base::is_utf8(cell)) return error(begin, "is not UTF-8");
            if (cell.find('\0') != std::string::npos) return error(begin, "holds a NUL");
            record.cells.push_back(std::move(cell));
            if (at_ == text_.size() || take_line_end()) return {};
            if (text_[at_] == '\r') return error(line_, "holds a carriage return that ends no line");
            if (text_[at_] != ',') return error(line_, "there is text behind a closing quote, expected a comma");
            ++at_;
            if (record.cells.size() == csv_columns_max)
                return error(record.line, "has more than " + std::to_string(csv_columns_max) + " cells");
        }
    }

    Result<void> read_bare(std::string& cell) {
        const auto end = std::min(text_.find_first_of(",\r\n\"", at_), text_.size());
        if (end < text_.size() && text_[end] == '"')
            return error(line_, "there is a quote in a cell that does not begin with one");
        cell = text_.substr(at_, end - at_);
        at_ = end;
        return {};
    }

    Result<void> read_quoted(std::string& cell) {
        const auto begin = line_;
        ++at_;
        for (;;) {
            const auto quote = text_.find('"', at_);
            if (quote == std::string_view::npos) return error(begin, "a quote is opened here and never closed");
            const auto part = text_.substr(at_, quote - at_);
            for (const char c : part) line_ += c == '\n' ? 1 : 0;
            cell += part;
            at_ = quote + 1;
            if (at_ == text_.size() || text_[at_] != '"') return {};
            cell += '"';
            ++at_;
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t line_ = 1;
};

}  // namespace

Result<std::vector<CsvRecord>> read_csv(std::string_view text) { return CsvReader(text).read(); }

}  // namespace usher::clients::control
