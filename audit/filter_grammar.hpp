#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace usher::audit {

enum class FieldType { text, integer, time, boolean, enumeration, list };

/// A field that a filter may name.
struct FilterField {
    std::string_view name;
    FieldType type;
    std::span<const std::string_view> words = {};  ///< of an enumeration: its values
};

enum class FilterOp { equal, not_equal, less, less_equal, greater, greater_equal, has };

/// A node of a parsed filter. `all` matches everything; `and_`, `or_` have two or more children, `not_` one.
struct FilterNode {
    enum class Kind { all, and_, or_, not_, comparison };
    Kind kind = Kind::all;
    std::vector<std::unique_ptr<FilterNode>> children;
    std::size_t field = 0;  ///< index into the fields
    FilterOp op = FilterOp::equal;
    /// text, enumeration and list: the text; integer: the number; time: microseconds since 1970; boolean: 0 or 1
    std::variant<std::string, std::int64_t> value;
};

/// Parses a filter over `fields` (the grammar is in docs/filters.md). Pure. Errors are invalid_argument and begin with
/// "filter:1:COLUMN: ". At most 4 KiB, 64 comparisons, 16 levels.
base::Result<std::unique_ptr<FilterNode>> parse_filter(std::string_view text, std::span<const FilterField> fields);

}  // namespace usher::audit
