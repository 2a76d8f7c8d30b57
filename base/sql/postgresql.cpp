#include "base/sql/backend.hpp"
namespace usher::base::sql {
std::string redact_database_url(std::string_view url) { return std::string(url.substr(0, url.find(':'))); }
Result<std::unique_ptr<Database>> open_postgresql(std::string_view, int) {
    return {Errc::internal, "this build has no PostgreSQL yet; use sqlite:PATH"};
}
}  // namespace usher::base::sql
