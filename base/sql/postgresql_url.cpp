#include "base/sql/postgresql_url.hpp"

#include <algorithm>

#include "base/sql/database.hpp"
#include "base/text.hpp"

namespace usher::base::sql {
namespace {

constexpr std::string_view kHidden = "postgresql://...";

struct Parts {
    std::string_view user;
    std::string_view hosts_and_database;
    std::string_view query;  ///< without the '?'
};

bool is_allowed(std::string_view text, std::string_view punctuation) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '%') {
            if (!from_hex(text.substr(i + 1, 2)) || text.size() - i < 3 || text.substr(i, 3) == "%00") return false;
            i += 2;
            continue;
        }
        const bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alphanumeric && punctuation.find(c) == std::string_view::npos) return false;
    }
    return true;
}

std::optional<Parts> split(std::string_view url) {
    const std::size_t scheme = url.find("://");
    if (scheme == std::string_view::npos) return std::nullopt;
    if (url.substr(0, scheme) != "postgresql" && url.substr(0, scheme) != "postgres") return std::nullopt;
    std::string_view rest = url.substr(scheme + 3);
    Parts parts;
    if (const std::size_t query = rest.find('?'); query != std::string_view::npos) {
        parts.query = rest.substr(query + 1);
        rest = rest.substr(0, query);
    }
    if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
        const std::string_view userinfo = rest.substr(0, at);
        if (!is_allowed(userinfo, "-._~!$'()*+,;=:")) return std::nullopt;
        parts.user = userinfo.substr(0, userinfo.find(':'));
        rest = rest.substr(at + 1);
    }
    parts.hosts_and_database = rest;
    if (!is_allowed(rest, "-._~:,[]/")) return std::nullopt;
    if (!is_allowed(parts.query, "-._~!$'()*+,;=:&/")) return std::nullopt;
    return parts;
}

std::string shown(const Parts& parts) {
    std::string out = "postgresql://";
    if (!parts.user.empty()) out.append(parts.user).append("@");
    out += parts.hosts_and_database;
    char before = '?';
    for (std::string_view query = parts.query; !query.empty();) {
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view one = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        const std::string_view key = one.substr(0, one.find('='));
        // Whatever else there is may be a secret, or name one; and behind it nothing is sure.
        if (key != "host" && key != "port" && key != "sslmode") break;
        out += before;
        out += one;
        before = '&';
    }
    return escape_for_terminal(out, 300);
}

}  // namespace

std::string redact_database_url(std::string_view url) {
    if (url.starts_with("sqlite:")) return escape_for_terminal(url, 300);
    const auto parts = split(url);
    return parts ? shown(*parts) : std::string(kHidden);
}

Result<PostgresqlUrl> parse_postgresql_url(std::string_view url, int connect_timeout_s) {
    if (url.size() > 2048) return {Errc::invalid_argument, "the database URL is longer than 2048 bytes"};
    const auto parts = split(url);
    if (!parts) {
        return {Errc::invalid_argument,
                "the database URL is not of the form postgresql://user:password@host:port/database?parameters; write "
                "reserved "
                "characters in the user, the password and the parameters as %XX ('@' as %40, '/' as %2F, ':' as %3A)"};
    }
    // libpq takes the last of equal parameters, so these cannot be overridden.
    std::string connect(url);
    if (url.find('?') == std::string_view::npos) {
        connect += '?';
    } else if (!parts->query.empty()) {
        connect += '&';
    }
    connect += "connect_timeout=" + std::to_string(std::max(1, connect_timeout_s));  // 0 would be for ever
    // A server that vanished without a word is noticed within about half a minute.
    connect +=
        "&application_name=usherd&client_encoding=UTF8&keepalives_idle=15&keepalives_interval=5&keepalives_count=3"
        "&tcp_user_timeout=30000";
    return PostgresqlUrl{std::move(connect), shown(*parts)};
}

}  // namespace usher::base::sql
