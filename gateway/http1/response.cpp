#include "gateway/http1/response.hpp"

#include <algorithm>
#include <stdexcept>

#include "gateway/http1/characters.hpp"

namespace usher::gateway::http1 {
namespace {

char field_character(char c) noexcept { return is_visible(c) || is_blank(c) ? c : '?'; }

void append_field(std::string& out, std::string_view name, std::string_view value) {
    out += name;
    out += ": ";
    for (char c : trim_blanks(value)) out += field_character(c);
    out += "\r\n";
}

}  // namespace

Response::Response(int status) : status_(status) {
    if (status < 200 || status > 599) throw std::invalid_argument("a response's status is 200 to 599");
    head_ = "HTTP/1.1 " + std::to_string(status) + ' ';
    head_ += reason_phrase(status);
    head_ += "\r\n";
}

Response& Response::field(std::string_view name, std::string_view value) {
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_token)) {
        throw std::invalid_argument("a field name is a token");
    }
    append_field(head_, name, value);
    return *this;
}

Response& Response::close() { return field("Connection", "close"); }

Response& Response::no_store() { return field("Cache-Control", "no-store"); }

Response& Response::proxy_challenge() {
    field("Proxy-Authenticate", R"(Bearer realm="usher")");
    return field("Proxy-Authenticate", R"(Basic realm="usher", charset="UTF-8")");
}

Response& Response::challenge() { return field("WWW-Authenticate", R"(Bearer realm="usher")"); }

std::string Response::with_body(std::string_view content_type, std::string_view body) const {
    std::string out = head_;
    append_field(out, "Content-Type", content_type);
    append_field(out, "Content-Length", std::to_string(body.size()));
    out += "\r\n";
    out += body;
    return out;
}

std::string Response::with_text(std::string_view line) const {
    std::string body;
    for (char c : line) body += field_character(c);
    body += '\n';
    return with_body("text/plain; charset=utf-8", body);
}

std::string Response::without_body() const {
    std::string out = head_;
    if (status_ != 204) append_field(out, "Content-Length", "0");
    out += "\r\n";
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

}  // namespace usher::gateway::http1
