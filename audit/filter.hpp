#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sql/database.hpp"
#include "usher/v1/audit.pb.h"

namespace usher::audit {

/// A parsed filter over audit events and access records: a subset of AIP-160.
///
///   app = "crm" AND bytes_down > 1000 AND (verdict = DENIED OR NOT username = "alice") AND opened_at >=
///   "2026-11-01T00:00:00Z"
///
/// Fields are those of AccessRecord (and device.name ... as `device.name`); operators = != < <= > >= and `:` (has: a
/// substring of a text, an element of reasons); AND, OR, NOT, parentheses; OR binds tighter than AND as in AIP-160.
/// Text in double quotes with \" and \\ only; enum values are bare words; an unknown field or a wrong type is an error
/// that names the column in the text and the fields there are. Bounded: 4 KiB, 64 terms, depth 16. The empty text
/// matches everything. On events that are no accesses only the fields `type` (access, admin, session, system),
/// `username` and `client_ip` exist; a term over another field does not match them.
class Filter {
public:
    static base::Result<Filter> parse(std::string_view text);
    Filter();  ///< matches everything

    bool matches(const usher::v1::AuditEvent& event) const;
    bool matches(const usher::v1::AccessRecord& access) const;

    /// A WHERE condition over the table `accesses` made of fixed pieces; every value is appended to `parameters` and
    /// referred to as $n, counting on from those that are there. Never empty ("1=1" for everything). LIKE is not used
    /// with a caller's wildcards. Agrees with matches(AccessRecord) on every row; a property test shows it.
    std::string to_sql(std::vector<base::sql::Value>& parameters) const;

    struct Node;

private:
    std::shared_ptr<const Node> root_;  ///< never changed: copies share it
};

}  // namespace usher::audit
