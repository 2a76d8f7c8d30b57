#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "audit/filter_grammar.hpp"
#include "usher/v1/access.pb.h"

namespace usher::audit {

/// A text is stored and compared up to so many bytes, cut between characters: an index of PostgreSQL takes no more than
/// 2,704. The record itself is kept whole beside its columns.
inline constexpr std::size_t field_text_bytes_max = 1024;

/// A field's value as it is stored and compared: texts and enumeration names; numbers, booleans (0, 1) and times
/// (microseconds since 1970, 0 when unset), those beyond 64 bits as the last one; lists as "\nfirst\nsecond\n". NUL,
/// which no database takes, is U+FFFD.
using FieldValue = std::variant<std::string, std::int64_t>;

/// One field of an access record: its name in filters, its column in the table `accesses`, and how to read it. The one
/// list from which schema, INSERT, filter and query are made.
struct AccessField {
    FilterField filter;
    std::string_view column;
    FieldValue (*read)(const usher::v1::AccessRecord&);
};

std::span<const AccessField> access_fields();
/// As the column opened_at has it.
std::int64_t opened_at_micros(const usher::v1::AccessRecord& access);
/// The same fields as a filter sees them, in the same order, with `type` (the kind of event) behind them.
std::span<const FilterField> filter_fields();
/// The index of `type` in filter_fields().
std::size_t type_field();

}  // namespace usher::audit
