#include "clients/common/saved_session.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "clients/common/json.hpp"
#include "clients/common/private_file.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;

namespace {

/// token68 of RFC 9110 §11.2, which is what a Bearer credential is made of.
bool is_token68(std::string_view text) {
    return text.size() >= 16 && text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      std::string_view("-._~+/=").find(c) != std::string_view::npos;
           });
}

}  // namespace

std::string encode_session(const SavedSession& session) {
    std::string text;
    text.reserve(4096);  // one block, so that wiping it wipes every copy
    text.append("{\"gateway\": ").append(base::json_quote(session.gateway.to_string()));
    text.append(", \"ca\": ").append(base::json_quote(session.ca_file));
    text.append(", \"username\": ").append(base::json_quote(session.username));
    text.append(", \"session_id\": ").append(base::json_quote(session.session_id));
    text.append(", \"expires_at\": ").append(base::json_quote(base::format_rfc3339(session.expires_at)));
    // token68 needs no escape.
    text.append(", \"token\": \"").append(session.token.reveal()).append("\"}\n");
    return text;
}

Result<SavedSession> decode_session(std::string_view text) {
    auto object = parse_json_object(text);
    if (!object) return std::move(object).error();
    const auto gateway = json_text(*object, "gateway");
    const auto ca = json_text(*object, "ca");
    auto username = json_text(*object, "username");
    auto session_id = json_text(*object, "session_id");
    const auto expires = json_text(*object, "expires_at");
    auto token = json_text(*object, "token");
    if (!gateway || !ca || !username || !session_id || !expires || !token)
        return {Errc::data_loss, "a member is missing"};
    auto endpoint = parse_endpoint(*gateway);
    if (!endpoint) return std::move(endpoint).error();
    const auto expires_at = base::parse_rfc3339(*expires);
    if (!expires_at) return {Errc::data_loss, "expires_at is no time"};
    if (!is_token68(*token)) return {Errc::data_loss, "the token is malformed"};
    return SavedSession{std::move(*endpoint),   *ca,         std::move(*username),
                        std::move(*session_id), *expires_at, base::Secret(std::move(*token))};
}

Result<void> save_session(const std::string& path, const SavedSession& session) {
    if (!is_token68(session.token.reveal())) return {Errc::data_loss, "the gateway sent a malformed token"};
    std::string text = encode_session(session);
    auto written = write_private_file(path, text);
    base::wipe(text);
    return written;
}

Result<std::optional<SavedSession>> load_session(const std::string& path) {
    auto text = read_private_file(path, true);
    if (!text) return std::move(text).error();
    if (!*text) return std::optional<SavedSession>{};
    auto session = decode_session(**text);
    base::wipe(**text);
    if (!session)
        return {Errc::data_loss,
                base::escape_for_terminal(path) + " is damaged (" + session.error().message + "); sign in again"};
    return std::optional<SavedSession>{std::move(*session)};
}

}  // namespace usher::clients
