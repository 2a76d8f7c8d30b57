#include "auth/department_tree.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;

std::string quoted(std::string_view code) { return "'" + base::escape_for_terminal(code, 100) + "'"; }

using Places = std::map<std::string_view, std::size_t>;

Places places_of(const std::vector<Department>& departments) {
    Places places;
    for (std::size_t i = 0; i < departments.size(); ++i) places.emplace(departments[i].code, i);
    return places;
}

Error no_parent(const Department& department, const std::vector<Department>& departments) {
    std::vector<std::string_view> codes;
    for (const auto& other : departments) codes.push_back(other.code);
    const auto near = base::closest(department.parent, codes);
    return {Errc::failed_precondition, "department " + quoted(department.parent) + " does not exist" +
                                           (near ? "; did you mean " + quoted(*near) + "?" : "")};
}

}  // namespace

DepartmentTree::DepartmentTree(const std::vector<Department>& departments) {
    const auto places = places_of(departments);
    for (const auto& department : departments) {
        std::vector<std::string> above;
        for (auto up = places.find(department.parent);
             up != places.end() && above.size() < department_levels_max && up->first != department.code;
             up = places.find(departments[up->second].parent))
            above.emplace_back(up->first);
        if (!above.empty()) above_.emplace(department.code, std::move(above));
    }
}

const std::vector<std::string>& DepartmentTree::above(std::string_view code) const noexcept {
    static const std::vector<std::string> none;
    const auto found = above_.find(code);
    return found == above_.end() ? none : found->second;
}

base::Result<void> check_department_tree(const std::vector<Department>& departments, std::size_t& culprit) {
    const auto places = places_of(departments);
    for (std::size_t i = 0; i < departments.size(); ++i) {
        std::size_t levels = 1;
        culprit = i;
        std::string line = quoted(departments[i].code);
        for (std::size_t at = i; !departments[at].parent.empty(); ++levels) {
            const auto up = places.find(departments[at].parent);
            if (up == places.end()) {
                culprit = at;
                return no_parent(departments[at], departments);
            }
            at = up->second;
            line += " in " + quoted(departments[at].code);
            if (at == i) return {Errc::failed_precondition, "the department lies in itself: " + line};
            // A cycle that this one hangs on is named when one of its own is looked at; from here it only looks deep.
            if (levels > departments.size()) break;
        }
        if (levels > department_levels_max && levels <= departments.size())
            return {Errc::failed_precondition, "the department is on level " + std::to_string(levels) + " of at most " +
                                                   std::to_string(department_levels_max)};
    }
    return {};
}

}  // namespace usher::auth
