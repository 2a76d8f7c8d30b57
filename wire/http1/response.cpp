#include "wire/http1/response.hpp"

#include <algorithm>
#include <stdexcept>

#include "base/secret.hpp"
#include "wire/http1/characters.hpp"

namespace usher::wire::http1 {
namespace {

char field_character(char c) noexcept { return is_visible(c) || is_blank(c) ? c : '?'; }

}  // namespace

Response::Response(int status) : status_(status) {
    if (status < 200 || status > 599) throw std::invalid_argument("a response's status is 200 to 599");
}

Response::~Response() { base::wipe(content_); }

Response& Response::field(std::string_view name, std::string_view value) {
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_token))
        throw std::invalid_argument("a field name is a token");
    Field& added = fields_.emplace_back();
    for (char c : name) added.name += to_lower(c);
    for (char c : trim_blanks(value)) added.value += field_character(c);
    return *this;
}

Response& Response::close() { return field("connection", "close"); }

Response& Response::no_store() { return field("cache-control", "no-store"); }

Response& Response::proxy_challenge() {
    field("proxy-authenticate", R"(Bearer realm="usher")");
    return field("proxy-authenticate", R"(Basic realm="usher", charset="UTF-8")");
}

Response& Response::challenge() { return field("www-authenticate", R"(Bearer realm="usher")"); }

Response& Response::body(std::string_view content_type, std::string_view content) {
    content_ = content;
    return field("content-type", content_type);
}

Response& Response::text(std::string_view line) {
    std::string content;
    for (char c : line) content += field_character(c);
    content += '\n';
    return body("text/plain; charset=utf-8", content);
}

std::vector<Response::Field> Response::fields() const {
    std::vector<Field> all = fields_;
    if (status_ != 204) all.push_back({"content-length", std::to_string(content_.size())});
    return all;
}

std::string Response::to_http1() const {
    std::string out = "HTTP/1.1 " + std::to_string(status_) + ' ';
    out += reason_phrase(status_);
    out += "\r\n";
    for (const auto& field : fields()) out.append(field.name).append(": ").append(field.value).append("\r\n");
    out.reserve(out.size() + 2 + content_.size());  // no copy of the content is left behind
    out.append("\r\n").append(content_);
    return out;
}

std::string_view connect_established() noexcept { return "HTTP/1.1 200 Connection Established\r\n\r\n"; }

std::string_view reason_phrase(int status) noexcept {
    switch (status) {
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 204:
            return "No Content";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 407:
            return "Proxy Authentication Required";
        case 408:
            return "Request Timeout";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 421:
            return "Misdirected Request";
        case 422:
            return "Unprocessable Content";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "Unknown";
    }
}

std::string structured_string(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += is_visible(c) || c == ' ' ? c : '?';
    }
    out += '"';
    return out;
}

std::string proxy_status(std::string_view error, std::string_view details) {
    std::string out = "usher; error=";
    out += error;
    if (!details.empty()) out += "; details=" + structured_string(details);
    return out;
}

}  // namespace usher::wire::http1
