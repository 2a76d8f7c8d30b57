#include "clients/usherctl/account_file.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "clients/usherctl/csv_reader.hpp"
#include "clients/usherctl/output.hpp"
#include "clients/usherctl/role_words.hpp"

namespace usher::clients::control {
namespace {

using base::Errc;
using base::Error;
using base::Result;
namespace v1 = usher::v1;

constexpr std::array<std::string_view, 12> known_columns = {
    "username",        "display_name", "department", "groups", "office_mail", "office_phone",
    "employee_number", "source",       "outside_id", "role",   "valid_from",  "valid_until"};

std::string in_quotes(std::string_view value) { return "'" + base::escape_for_terminal(value, 100) + "'"; }

Error at(const std::string& file, std::size_t line, const std::string& problem) {
    return {Errc::invalid_argument, base::escape_for_terminal(file) + ":" + std::to_string(line) + ": " + problem};
}

Result<void> check_columns(const std::string& file, const CsvRecord& header) {
    for (std::size_t i = 0; i < header.cells.size(); ++i) {
        const auto& name = header.cells[i];
        if (std::find(known_columns.begin(), known_columns.end(), name) == known_columns.end()) {
            const auto meant = base::closest(name, known_columns);
            std::string all;
            for (const auto column : known_columns) all.append(all.empty() ? "" : ", ").append(column);
            return at(
                file, header.line,
                "there is no column " + in_quotes(name) +
                    (meant ? "; did you mean '" + std::string(*meant) + "'?" : "; the first line names them: " + all));
        }
        if (std::find(header.cells.begin(), header.cells.begin() + static_cast<std::ptrdiff_t>(i), name) !=
            header.cells.begin() + static_cast<std::ptrdiff_t>(i))
            return at(file, header.line, "column " + in_quotes(name) + " is given twice");
    }
    if (std::find(header.cells.begin(), header.cells.end(), "username") == header.cells.end())
        return at(file, header.line, "there is no column 'username'; the first line names the columns");
    return {};
}

Result<void> read_groups(v1::Account& account, std::string_view cell) {
    while (!cell.empty()) {
        const auto group = base::trimmed(base::take_until(cell, ';'));
        if (group.empty()) return {Errc::invalid_argument, "has an empty group between its ';'"};
        account.add_groups(std::string(group));
    }
    return {};
}

Result<void> read_role(v1::Account& account, std::string_view cell) {
    const auto role = role_from_word(cell);
    if (!role) return {Errc::invalid_argument, in_quotes(cell) + " is no role; expected " + role_words()};
    account.set_role(*role);
    return {};
}

Result<void> read_time(std::string_view cell, google::protobuf::Timestamp& out) {
    const auto time = base::parse_rfc3339(cell);
    if (!time)
        return {Errc::invalid_argument, in_quotes(cell) + " is no time; expected one such as 2026-12-01T00:00:00Z"};
    out = to_timestamp(*time);
    return {};
}

Result<void> read_cell(v1::Account& account, std::string_view column, const std::string& cell) {
    if (column == "groups") return read_groups(account, cell);
    if (column == "role") return read_role(account, cell);
    // Absent means that there is no such bound.
    if (column == "valid_from") return cell.empty() ? Result<void>{} : read_time(cell, *account.mutable_valid_from());
    if (column == "valid_until") return cell.empty() ? Result<void>{} : read_time(cell, *account.mutable_valid_until());
    const auto* field = v1::Account::descriptor()->FindFieldByName(std::string(column));
    account.GetReflection()->SetString(&account, field, cell);
    return {};
}

}  // namespace

std::string AccountFile::located(std::size_t index, std::string_view problem) const {
    return base::escape_for_terminal(file) + ":" + std::to_string(lines.at(index)) + ": " +
           base::escape_for_terminal(problem);
}

Result<AccountFile> parse_account_file(std::string_view text, std::string file) {
    if (text.size() > account_file_limit_bytes)
        return {Errc::invalid_argument, base::escape_for_terminal(file) + ": is longer than 16 MiB"};
    auto records = read_csv(text);
    if (!records) return {Errc::invalid_argument, base::escape_for_terminal(file) + ":" + records.error().message};
    if (records->empty()) return at(file, 1, "is empty; the first line names the columns");
    const auto header = std::move(records->front());
    if (auto ok = check_columns(file, header); !ok) return ok.error();
    if (records->size() == 1) return at(file, header.line, "no account follows the line that names the columns");
    if (records->size() - 1 > account_count_limit)
        return at(file, (*records)[account_count_limit + 1].line,
                  "there are more than " + std::to_string(account_count_limit) + " accounts");

    AccountFile out;
    out.file = std::move(file);
    for (const auto& column : header.cells)
        if (column != "username") out.columns.push_back(column);
    for (std::size_t i = 1; i < records->size(); ++i) {
        const auto& record = (*records)[i];
        v1::Account account;
        for (std::size_t n = 0; n < header.cells.size(); ++n)
            if (auto ok = read_cell(account, header.cells[n], record.cells[n]); !ok)
                return at(out.file, record.line, header.cells[n] + ": " + ok.error().message);
        out.accounts.push_back(std::move(account));
        out.lines.push_back(record.line);
    }
    return out;
}

}  // namespace usher::clients::control
