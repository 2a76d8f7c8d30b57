#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "auth/model.hpp"
#include "base/result.hpp"

namespace usher::auth {

/// A department at the top is on the first level.
inline constexpr std::size_t department_levels_max = 16;

/// What each department lies in. Immutable once built, and of its own memory.
class DepartmentTree {
public:
    DepartmentTree() = default;
    /// What does not hang together (a parent that is not there, a cycle) ends a line where it is met.
    explicit DepartmentTree(const std::vector<Department>& departments);

    /// The codes of what the department lies in, from the inside out; empty for one at the top, and for a code that is
    /// no department's: an account may have such a one.
    const std::vector<std::string>& above(std::string_view code) const noexcept;
    bool empty() const noexcept { return above_.empty(); }

private:
    std::map<std::string, std::vector<std::string>, std::less<>> above_;
};

/// Whether the departments are a tree: each parent is there, none lies in itself, and none lies deeper than the levels
/// that there may be. failed_precondition names the department and what is wrong; `culprit` is then the index of one
/// whose parent does it. Pure.
base::Result<void> check_department_tree(const std::vector<Department>& departments, std::size_t& culprit);

}  // namespace usher::auth
