#include "clients/common/http_response.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;

namespace {

bool is_token_char(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_field_char(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

base::Error malformed(std::string_view what) {
    return {Errc::data_loss, "the gateway's answer is no HTTP/1.1: " + std::string(what)};
}

}  // namespace

std::optional<std::string_view> HttpHead::field(std::string_view lower_name) const {
    std::optional<std::string_view> found;
    for (const auto& [name, value] : fields) {
        if (name != lower_name) continue;
        if (found) return std::nullopt;
        found = value;
    }
    return found;
}

Result<bool> HttpResponseParser::feed(std::string_view bytes) {
    buffer_.append(bytes);
    if (complete_) return true;
    if (!head_done_) {
        const auto end = buffer_.find("\r\n\r\n");
        if (end == std::string::npos) {
            if (buffer_.size() > http_head_limit_bytes) return malformed("its head is over 16 KiB");
            return false;
        }
        if (end + 4 > http_head_limit_bytes) return malformed("its head is over 16 KiB");
        if (auto parsed = parse_head(std::string_view(buffer_).substr(0, end + 2)); !parsed)
            return std::move(parsed).error();
        buffer_.erase(0, end + 4);
        head_done_ = true;
    }
    return take_body();
}

Result<bool> HttpResponseParser::take_body() {
    const std::size_t limit = body_bytes_.value_or(http_body_limit_bytes + 1);
    const std::size_t take = std::min(buffer_.size(), limit - body_.size());
    body_.append(buffer_, 0, take);
    buffer_.erase(0, take);
    if (body_.size() > http_body_limit_bytes) return malformed("its body is over 1 MiB");
    complete_ = body_bytes_ && body_.size() == *body_bytes_;
    return complete_;
}

Result<void> HttpResponseParser::end() {
    if (complete_) return {};
    if (!head_done_)
        return {Errc::unavailable, buffer_.empty() ? "the gateway closed the connection without an answer"
                                                   : "the gateway closed the connection within its answer"};
    if (body_bytes_) return {Errc::unavailable, "the gateway closed the connection within its answer"};
    complete_ = true;
    return {};
}

Result<void> HttpResponseParser::parse_head(std::string_view text) {
    const auto line_end = text.find("\r\n");
    const auto line = text.substr(0, line_end);
    // status-line = HTTP-version SP status-code SP [ reason-phrase ]
    if (line.size() < 13 || line.substr(0, 9) != "HTTP/1.1 " || line[12] != ' ') return malformed("bad status line");
    const auto status = base::parse_unsigned(line.substr(9, 3), 599);
    if (!status || *status < 200) return malformed("bad status code");
    if (!std::all_of(line.begin(), line.end(), is_field_char))
        return malformed("control characters in the status line");
    head_.status = static_cast<int>(*status);

    text.remove_prefix(line_end + 2);
    std::optional<std::size_t> content_length;
    while (!text.empty()) {
        const auto end = text.find("\r\n");
        const auto field = text.substr(0, end);
        text.remove_prefix(end + 2);
        const auto colon = field.find(':');
        if (colon == std::string_view::npos || colon == 0) return malformed("a field without a name");
        const auto name = field.substr(0, colon);
        const auto value = base::trimmed(field.substr(colon + 1), " \t");
        if (!std::all_of(name.begin(), name.end(), is_token_char)) return malformed("a bad field name");
        if (!std::all_of(value.begin(), value.end(), is_field_char)) return malformed("control characters in a field");
        const std::string lower = base::to_lower(name);
        if (lower == "transfer-encoding" && !(tunnel_ && head_.is_success()))
            return malformed("it has a transfer coding");
        if (lower == "content-length") {
            const auto length = base::parse_unsigned(value, http_body_limit_bytes);
            if (!length) return malformed("a bad Content-Length, or one over 1 MiB");
            if (content_length) return malformed("two Content-Length fields");
            content_length = static_cast<std::size_t>(*length);
        }
        head_.fields.emplace_back(lower, std::string(value));
    }
    if ((tunnel_ && head_.is_success()) || head_.status == 204 || head_.status == 304)
        body_bytes_ = 0;
    else
        body_bytes_ = content_length;
    return {};
}

}  // namespace usher::clients
