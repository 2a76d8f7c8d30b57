#include "clients/usher/up/proxy_request.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.hpp"
#include "wire/http1/characters.hpp"
#include "wire/http1/connect_target.hpp"
#include "wire/http1/request_rules.hpp"

namespace usher::clients::agent {
namespace {

using wire::http1::Rejection;
using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t fields_limit = 200, method_limit = 32;
constexpr std::string_view scheme = "http://";

/// What concerns one connection and not the next (RFC 9110 §7.6.1), and what is the proxy's.
constexpr std::array<std::string_view, 10> not_passed_on{
    "connection", "keep-alive",          "proxy-connection",  "te", "trailer", "upgrade", "http2-settings",
    "host",       "proxy-authorization", "proxy-authenticate"};

struct Line {
    std::string method, target;
    bool http_1_0 = false;
};

std::optional<std::string_view> take_line(std::string_view& text) {
    const auto end = text.find("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    const auto line = text.substr(0, end);
    text.remove_prefix(end + 2);
    return line;
}

std::optional<Line> parse_line(std::string_view text) {
    const auto first = text.find(' ');
    const auto last = text.rfind(' ');
    if (first == std::string_view::npos || first == last) return std::nullopt;
    Line line{std::string(text.substr(0, first)), std::string(text.substr(first + 1, last - first - 1)), false};
    const auto version = text.substr(last + 1);
    if (version != "HTTP/1.1" && version != "HTTP/1.0") return std::nullopt;
    line.http_1_0 = version == "HTTP/1.0";
    const bool method = !line.method.empty() && line.method.size() <= method_limit &&
                        std::all_of(line.method.begin(), line.method.end(), wire::http1::is_token);
    const bool target = !line.target.empty() &&
                        std::all_of(line.target.begin(), line.target.end(), wire::http1::is_visible) &&
                        line.target.find('#') == std::string::npos;
    return method && target ? std::optional(std::move(line)) : std::nullopt;
}

/// field-content of RFC 9110 §5.5: bytes beyond ASCII are passed on as they are.
bool is_value_byte(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

std::optional<std::pair<std::string, std::string>> parse_field(std::string_view line) {
    const auto colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) return std::nullopt;
    const auto name = line.substr(0, colon);
    const auto value = wire::http1::trim_blanks(line.substr(colon + 1));
    if (!std::all_of(name.begin(), name.end(), wire::http1::is_token) ||
        !std::all_of(value.begin(), value.end(), is_value_byte))
        return std::nullopt;
    return std::pair(base::to_lower(name), std::string(value));
}

std::vector<std::string> connection_options(const Fields& fields) {
    std::vector<std::string> options;
    for (const auto& [name, value] : fields) {
        if (name != "connection" && name != "proxy-connection") continue;
        for (std::string_view rest = value;;) {
            const auto comma = rest.find(',');
            options.push_back(base::to_lower(wire::http1::trim_blanks(rest.substr(0, comma))));
            if (comma == std::string_view::npos) break;
            rest.remove_prefix(comma + 1);
        }
    }
    return options;
}

std::variant<BodyFraming, Rejection> framing_of(const Fields& fields, bool http_1_0) {
    BodyFraming framing;
    bool seen = false;
    for (const auto& [name, value] : fields) {
        if (name != "content-length" && name != "transfer-encoding") continue;
        // One of them, once: two readings of where a request ends are what smuggling is made of.
        if (std::exchange(seen, true)) return Rejection{400, "framing"};
        if (name == "content-length") {
            const auto length = wire::http1::parse_content_length(value);
            if (!length) return Rejection{400, "content-length-invalid"};
            framing = {BodyFraming::Kind::length, *length};
        } else {
            if (http_1_0 || base::to_lower(value) != "chunked") return Rejection{400, "transfer-encoding"};
            framing = {BodyFraming::Kind::chunked, 0};
        }
    }
    return framing;
}

ProxyRequest forward(const Line& line, const Fields& fields) {
    const std::string_view rest = std::string_view(line.target).substr(scheme.size());
    const auto slash = std::min(rest.find_first_of("/?"), rest.size());
    auto authority = wire::http1::parse_authority(rest.substr(0, slash));
    if (const auto* rejection = std::get_if<Rejection>(&authority)) return *rejection;
    auto& parsed = std::get<wire::http1::Authority>(authority);
    ForwardRequest request{{std::move(parsed.host), parsed.address, parsed.port.value_or(80)}, {}, {}};

    const auto framing = framing_of(fields, line.http_1_0);
    if (const auto* rejection = std::get_if<Rejection>(&framing)) return *rejection;
    request.body = std::get<BodyFraming>(framing);

    const auto options = connection_options(fields);
    std::string path(rest.substr(slash));
    if (path.empty() || path.front() == '?') path.insert(path.begin(), '/');
    std::string host = request.destination.to_string();
    if (request.destination.port == 80) host.resize(host.rfind(':'));
    request.head = line.method + ' ' + path + " HTTP/1.1\r\nHost: " + host + "\r\n";
    for (const auto& [name, value] : fields) {
        if (std::find(not_passed_on.begin(), not_passed_on.end(), name) != not_passed_on.end()) continue;
        // What frames the body is never the connection's to name.
        const bool frames = name == "content-length" || name == "transfer-encoding";
        if (!frames && std::find(options.begin(), options.end(), name) != options.end()) continue;
        request.head += name + ": " + value + "\r\n";
    }
    request.head += "Connection: close\r\n\r\n";
    return request;
}

}  // namespace

std::string_view LocalRequest::field(std::string_view lower_name) const noexcept {
    const std::string* found = nullptr;
    for (const auto& [name, value] : fields) {
        if (name != lower_name) continue;
        if (found != nullptr) return {};
        found = &value;
    }
    return found != nullptr ? std::string_view(*found) : std::string_view();
}

ProxyRequest parse_proxy_request(std::string_view head) {
    const auto first = take_line(head);
    const auto line = first ? parse_line(*first) : std::nullopt;
    if (!line) return Rejection{400, "request-line"};
    Fields fields;
    for (;;) {
        const auto text = take_line(head);
        if (!text) return Rejection{400, "head-incomplete"};
        if (text->empty()) break;
        auto field = parse_field(*text);
        if (!field) return Rejection{400, "field"};
        if (fields.size() == fields_limit) return Rejection{431, "too-many-fields"};
        fields.push_back(std::move(*field));
    }
    if (line->method == "CONNECT") {
        auto target = wire::http1::parse_connect_target(line->target);
        if (const auto* rejection = std::get_if<Rejection>(&target)) return *rejection;
        for (const auto& [name, value] : fields)
            if (name == "transfer-encoding" || (name == "content-length" && value != "0"))
                return Rejection{400, "connect-with-content"};
        return ConnectRequest{std::move(std::get<base::Destination>(target))};
    }
    if (base::to_lower(std::string_view(line->target).substr(0, scheme.size())) == scheme)
        return forward(*line, fields);
    if (!wire::http1::is_origin_form(line->target)) return Rejection{400, "target"};
    return LocalRequest{line->method, line->target.substr(0, line->target.find('?')), std::move(fields)};
}

}  // namespace usher::clients::agent
