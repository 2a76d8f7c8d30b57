#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::base::sql {

/// A checked "postgresql://" URL.
struct PostgresqlUrl {
    std::string connect;  ///< for libpq, with this program's parameters; holds the password
    std::string shown;    ///< the same target without secrets
};

/// Accepts only URLs that can be read in one way: at most one '@', none behind the first '/' or '?', reserved
/// characters of user and password percent-encoded. So no part of a password can be taken for a host and be shown in an
/// error. An error (invalid_argument) shows nothing of the URL. Pure.
Result<PostgresqlUrl> parse_postgresql_url(std::string_view url, int connect_timeout_s);

}  // namespace usher::base::sql
