#include "wire/http2/request_builder.hpp"

#include <algorithm>
#include <variant>

#include "base/text.hpp"
#include "wire/http1/characters.hpp"
#include "wire/http1/connect_target.hpp"
#include "wire/http1/request_rules.hpp"

namespace usher::wire::http2 {

using http1::Authority;
using http1::Rejection;

void RequestBuilder::add(std::string_view name, std::string_view value) {
    bytes_ += name.size() + value.size() + 32;
    if (bytes_ > head_bytes_max) reject(431, "header-too-large");
    if (rejection_) return;
    if (!name.empty() && name.front() == ':') return add_pseudo(name, value);
    fields_began_ = true;
    add_field(name, value);
}

void RequestBuilder::add_pseudo(std::string_view name, std::string_view value) {
    if (fields_began_) return reject(400, "pseudo-field-late");
    if (!std::all_of(value.begin(), value.end(), http1::is_visible)) return reject(400, "bad-pseudo-field");
    const auto once = [&](std::optional<std::string>& into) {
        if (into)
            reject(400, "duplicate-field");
        else
            into = std::string(value);
    };
    if (name == ":method") {
        const bool good = !value.empty() && value.size() <= http1::longest_method &&
                          std::all_of(value.begin(), value.end(), http1::is_upper);
        if (!good) return reject(400, "bad-method");
        if (!request_.method.empty()) return reject(400, "duplicate-field");
        request_.method = std::string(value);
    } else if (name == ":scheme") {
        once(scheme_);
    } else if (name == ":authority") {
        once(authority_);
    } else if (name == ":path") {
        if (value.size() > 4096) return reject(414, "target-too-long");
        once(path_);
    } else {
        reject(400, "unknown-pseudo-field");  // :protocol of RFC 8441 is not offered
    }
}

void RequestBuilder::add_field(std::string_view name, std::string_view value) {
    const auto name_character = [](char c) { return http1::is_token(c) && !http1::is_upper(c) && c != '_'; };
    if (name.empty() || name.size() > 256 || !std::all_of(name.begin(), name.end(), name_character))
        return reject(400, "bad-field-name");
    const auto value_character = [](char c) { return http1::is_visible(c) || http1::is_blank(c); };
    if (!std::all_of(value.begin(), value.end(), value_character)) return reject(400, "bad-field-value");
    if (request_.fields.size() == fields_max) return reject(431, "too-many-fields");
    if (name == "connection" || name == "keep-alive" || name == "proxy-connection")
        return reject(400, "connection-field");
    if (name == "transfer-encoding") return reject(400, "transfer-encoding");
    if (name == "upgrade") return reject(400, "upgrade");
    if (name == "expect") return reject(417, "expect");
    // A client may send its cookies in pieces (§8.2.3); nothing here reads them.
    if (http1::is_single(name) && name != "cookie") {
        for (const auto& field : request_.fields)
            if (field.name == name) return reject(400, "duplicate-field");
    }
    if (name == "content-length") {
        const auto length = http1::parse_content_length(value);
        if (!length) return reject(400, "content-length-invalid");
        request_.content_length = *length;
        content_length_seen_ = true;
    }
    request_.fields.push_back({std::string(name), std::string(value)});
}

void RequestBuilder::finish() {
    if (!rejection_ && request_.method.empty()) reject(400, "bad-method");
    if (!rejection_) request_.method == "CONNECT" ? finish_connect() : finish_origin();
    if (rejection_) request_.wipe_credentials();
}

void RequestBuilder::finish_connect() {
    if (scheme_ || path_) return reject(400, "bad-target");
    if (!authority_) return reject(400, "bad-target");
    if (content_length_seen_) return reject(400, "connect-with-content");
    auto target = http1::parse_connect_target(*authority_);
    if (const auto* rejection = std::get_if<Rejection>(&target)) return reject(rejection->status, rejection->reason);
    request_.target = *authority_;
    request_.destination = std::move(std::get<base::Destination>(target));
    const std::string* host = request_.field("host");
    if (host == nullptr) return;
    const auto parsed = http1::parse_authority(*host);
    const auto* named = std::get_if<Authority>(&parsed);
    if (!named) return reject(400, "bad-host");
    const bool same_port = !named->port || *named->port == request_.destination->port;
    if (named->host != request_.destination->host || !same_port) reject(400, "host-mismatch");
}

void RequestBuilder::finish_origin() {
    if (!scheme_ || *scheme_ != "https") return reject(400, "bad-scheme");
    if (!path_ || !http1::is_origin_form(*path_)) return reject(400, "bad-target");
    request_.target = *path_;
    const std::string* host = request_.field("host");
    const std::string* authority = authority_ ? &*authority_ : host;
    if (authority == nullptr) return reject(400, "host-missing");
    const auto parsed = http1::parse_authority(*authority);
    if (!std::holds_alternative<Authority>(parsed)) return reject(400, "bad-host");
    if (host != nullptr && base::to_lower(*host) != base::to_lower(*authority)) return reject(400, "host-mismatch");
    if (request_.content_length > 0 && !http1::is_content_method(request_.method))
        return reject(400, "unexpected-content");
    request_.keep_alive = true;
}

}  // namespace usher::wire::http2
