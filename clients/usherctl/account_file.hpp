#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "usher/v1/account.pb.h"

namespace usher::clients::control {

constexpr std::size_t account_file_limit_bytes = 16 * 1024 * 1024;
constexpr std::size_t account_count_limit = 100'000;

/// The accounts of a CSV file, and the line of each.
struct AccountFile {
    std::string file;
    std::vector<std::string> columns;  ///< without username: the fields of which the file speaks
    std::vector<usher::v1::Account> accounts;
    std::vector<std::size_t> lines;

    /// "FILE:LINE: problem" of one account.
    std::string located(std::size_t index, std::string_view problem) const;
};

/// Reads accounts from CSV. The first line names the columns: `username`, and of display_name, department, groups,
/// office_mail, office_phone, employee_number, source, outside_id, role, valid_from and valid_until those of which the
/// file speaks; several groups stand in one cell with ";" between them. An empty cell is an empty field; an empty role
/// is an error. Every error names file and line; the server judges the values. Pure.
base::Result<AccountFile> parse_account_file(std::string_view text, std::string file);

}  // namespace usher::clients::control
