#include "wire/http1/request_parser.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "wire/http1/characters.hpp"
#include "wire/http1/connect_target.hpp"
#include "wire/http1/request_rules.hpp"

namespace usher::wire::http1 {
namespace {

constexpr std::string_view version_prefix = "HTTP/1.";

}  // namespace

RequestParser::State RequestParser::feed(std::string_view bytes, std::size_t& consumed) {
    consumed = 0;
    while (state_ == State::need_more && consumed < bytes.size()) {
        const char c = bytes[consumed++];
        if (++head_bytes_ > limits_.head_bytes) {
            reject(431, "header-too-large");
        } else {
            take(c);
        }
    }
    return state_;
}

void RequestParser::take(char c) {
    switch (step_) {
        case Step::method:
            return take_method(c);
        case Step::target:
            return take_target(c);
        case Step::version:
            return take_version(c);
        case Step::line_feed_after_version:
            expect_line_feed(c, Step::field_start);
            if (state_ == State::need_more) end_request_line();
            return;
        case Step::field_start:
            if (c == '\r') {
                step_ = Step::line_feed_at_end;
                return;
            }
            if (is_blank(c)) return reject(400, "folded-field");
            if (request_.fields.size() == limits_.fields) return reject(431, "too-many-fields");
            request_.fields.emplace_back();
            step_ = Step::field_name;
            return take_field_name(c);
        case Step::field_name:
            return take_field_name(c);
        case Step::field_value:
            return take_field_value(c);
        case Step::line_feed_after_field:
            expect_line_feed(c, Step::field_start);
            if (state_ == State::need_more) end_field();
            return;
        case Step::line_feed_at_end:
            expect_line_feed(c, Step::line_feed_at_end);
            if (state_ == State::need_more) end_head();
            return;
    }
}

void RequestParser::take_method(char c) {
    if (c == ' ' && !request_.method.empty()) {
        step_ = Step::target;
    } else if (is_upper(c) && request_.method.size() < longest_method) {
        request_.method += c;
    } else {
        reject(400, "bad-method");
    }
}

void RequestParser::take_target(char c) {
    if (c == ' ' && !request_.target.empty()) {
        step_ = Step::version;
    } else if (!is_visible(c) || c == '#' || c == '\\') {
        reject(400, "bad-target");
    } else if (request_.target.size() == limits_.target_bytes) {
        reject(414, "target-too-long");
    } else {
        request_.target += c;
    }
}

void RequestParser::take_version(char c) {
    if (version_bytes_ < version_prefix.size()) {
        // Another name than HTTP is no HTTP at all; another major version may well be.
        if (c != version_prefix[version_bytes_]) {
            if (version_bytes_ < 5 || !is_digit(c)) return reject(400, "bad-version");
            return reject(505, "version");
        }
    } else if (version_bytes_ == version_prefix.size()) {
        if (!is_digit(c)) return reject(400, "bad-version");
        if (c != '0' && c != '1') return reject(505, "version");
        http_1_0_ = c == '0';
    } else {
        if (c == '\n') return reject(400, "bare-lf");
        if (c != '\r') return reject(400, "bad-version");
        step_ = Step::line_feed_after_version;
    }
    ++version_bytes_;
}

void RequestParser::take_field_name(char c) {
    auto& name = request_.fields.back().name;
    if (c == ':' && !name.empty()) return end_field_name();
    if (c == '\n' && name.empty()) return reject(400, "bare-lf");
    if (!is_token(c) || c == '_') return reject(400, "bad-field-name");
    if (name.size() == limits_.field_name_bytes) return reject(431, "header-too-large");
    name += to_lower(c);
}

void RequestParser::take_field_value(char c) {
    auto& value = request_.fields.back().value;
    if (c == '\r') {
        step_ = Step::line_feed_after_field;
    } else if (c == '\n') {
        reject(400, "bare-lf");
    } else if (is_blank(c)) {
        if (!value.empty()) value += c;
    } else if (is_visible(c)) {
        value += c;
    } else {
        reject(400, "bad-field-value");
    }
}

void RequestParser::expect_line_feed(char c, Step next) {
    if (c != '\n') return reject(400, "bare-cr");
    step_ = next;
}

void RequestParser::end_request_line() {
    if (request_.method == "CONNECT") {
        auto target = parse_connect_target(request_.target);
        if (const auto* rejection = std::get_if<Rejection>(&target))
            return reject(rejection->status, rejection->reason);
        request_.destination = std::move(std::get<base::Destination>(target));
    } else if (!is_origin_form(request_.target)) {
        reject(400, "bad-target");
    }
}

void RequestParser::end_field_name() {
    const std::string_view name = request_.fields.back().name;
    if (name == "transfer-encoding") return reject(400, "transfer-encoding");
    if (name == "upgrade") return reject(400, "upgrade");
    if (name == "expect") return reject(417, "expect");
    if (name == "content-length" && request_.method == "CONNECT") return reject(400, "connect-with-content");
    if (is_single(name)) {
        const auto earlier = std::count_if(request_.fields.begin(), request_.fields.end(),
                                           [&](const Field& field) { return field.name == name; });
        if (earlier > 1) return reject(400, "duplicate-field");
    }
    // Room for every value that can be valid, so that growing leaves no copy of a secret behind.
    if (is_credentials(name)) request_.fields.back().value.reserve(longest_credentials);
    step_ = Step::field_value;
}

void RequestParser::end_field() {
    auto& field = request_.fields.back();
    while (!field.value.empty() && is_blank(field.value.back())) field.value.pop_back();
    if (field.name == "connection") return end_connection_field(field.value);
    if (field.name == "content-length") return end_content_length(field.value);
    if (field.name != "host") return;

    const auto parsed = parse_authority(field.value);
    const auto* host = std::get_if<Authority>(&parsed);
    if (!host) return reject(400, "bad-host");
    if (!request_.destination) return;
    // RFC 9110 §7.2 wants host and port; some clients leave the port out, which still names the same host.
    const bool same_port = !host->port || *host->port == request_.destination->port;
    if (host->host != request_.destination->host || !same_port) reject(400, "host-mismatch");
}

void RequestParser::end_connection_field(std::string_view value) {
    for (;;) {
        const auto comma = value.find(',');
        const auto option = trim_blanks(value.substr(0, comma));
        if (equals_lower(option, "close")) {
            close_ = true;
        } else if (!equals_lower(option, "keep-alive")) {
            return reject(400, "connection-option");
        }
        if (comma == std::string_view::npos) return;
        value.remove_prefix(comma + 1);
    }
}

void RequestParser::end_content_length(std::string_view value) {
    const auto length = parse_content_length(value);
    if (!length) return reject(400, "content-length-invalid");
    request_.content_length = *length;
    if (request_.content_length > 0 && !is_content_method(request_.method)) reject(400, "unexpected-content");
}

void RequestParser::end_head() {
    if (!http_1_0_ && !request_.field("host")) return reject(400, "host-missing");
    request_.keep_alive = !http_1_0_ && !close_;
    state_ = State::complete;
}

void RequestParser::reject(int status, std::string_view reason) noexcept {
    state_ = State::rejected;
    rejection_ = Rejection{status, reason};
}

}  // namespace usher::wire::http1
