#include "auth/department_tree.hpp"
#include "auth/directory_rows.hpp"
#include "auth/row_checks.hpp"

namespace usher::auth::rows {

using base::sql::Transaction;
using base::sql::Value;

std::vector<Department> read_departments(Transaction& transaction) {
    std::vector<Department> departments;
    for (const auto& row : transaction.execute("SELECT code, name, parent, updated_at FROM departments")) {
        departments.push_back(
            {row.text(0), row.text(1), row.maybe_text(2).value_or(""), base::from_micros(row.integer(3))});
        must_be_canonical("departments", departments.back().code, departments.back());
    }
    std::size_t culprit = 0;
    if (auto tree = check_department_tree(departments, culprit); !tree)
        corrupt("departments", departments[culprit].code, "is not in a tree: " + tree.error().message);
    return departments;
}

void put(Transaction& transaction, const Department& department) {
    transaction.execute(
        "INSERT INTO departments (code, name, updated_at) VALUES ($1, $2, $3) "
        "ON CONFLICT (code) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at",
        {department.code, department.name, base::to_micros(department.updated_at)});
}

void put_parent(Transaction& transaction, const Department& department) {
    transaction.execute("UPDATE departments SET parent = $2 WHERE code = $1",
                        {department.code, department.parent.empty() ? Value() : Value(department.parent)});
}

void erase_department(Transaction& transaction, const std::string& code) {
    transaction.execute("DELETE FROM departments WHERE code = $1", {code});
    must_change_one(transaction, "departments");
}

}  // namespace usher::auth::rows
