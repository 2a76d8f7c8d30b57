#include "wire/http1/request_rules.hpp"

#include <algorithm>
#include <iterator>

#include "wire/http1/characters.hpp"

namespace usher::wire::http1 {
namespace {

constexpr std::string_view single_fields[] = {"authorization", "connection", "content-length",     "content-type",
                                              "cookie",        "host",       "proxy-authorization"};

/// Unreserved characters and '/': what every path that the gateway serves is made of. No percent-encoding, so that a
/// path has one spelling.
bool is_path_character(char c) noexcept {
    return is_alpha(c) || is_digit(c) || std::string_view("-._~/").find(c) != std::string_view::npos;
}

/// query of RFC 3986 §3.4.
bool is_query_character(char c) noexcept {
    return is_path_character(c) || std::string_view("?:@!$&'()*+,;=%").find(c) != std::string_view::npos;
}

}  // namespace

bool is_single(std::string_view name) noexcept {
    return std::find(std::begin(single_fields), std::end(single_fields), name) != std::end(single_fields);
}

bool is_credentials(std::string_view name) noexcept { return name == "authorization" || name == "proxy-authorization"; }

bool is_content_method(std::string_view method) noexcept {
    return method == "POST" || method == "PUT" || method == "PATCH";
}

bool is_origin_form(std::string_view target) noexcept {
    if (target.empty() || target.front() != '/' || target.substr(0, 2) == "//") return false;
    const auto question = target.find('?');
    const auto path = target.substr(0, question);
    if (!std::all_of(path.begin(), path.end(), is_path_character)) return false;
    // Dot segments would let one resource have many spellings.
    for (std::size_t start = 1; start <= path.size();) {
        const auto end = std::min(path.find('/', start), path.size());
        const auto segment = path.substr(start, end - start);
        if (segment == "." || segment == "..") return false;
        start = end + 1;
    }
    if (question == std::string_view::npos) return true;
    const auto query = target.substr(question + 1);
    return std::all_of(query.begin(), query.end(), is_query_character);
}

std::optional<std::uint64_t> parse_content_length(std::string_view value) noexcept {
    // 18 digits fit 64 bits with room to spare; no content that is served comes near.
    if (value.empty() || value.size() > 18 || !std::all_of(value.begin(), value.end(), is_digit)) return std::nullopt;
    std::uint64_t length = 0;
    for (char c : value) length = length * 10 + static_cast<unsigned>(c - '0');
    return length;
}

}  // namespace usher::wire::http1
