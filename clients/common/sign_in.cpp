#include "clients/common/sign_in.hpp"

#include "base/text.hpp"
#include "clients/common/json.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;

base::Error unexpected_answer(const GatewayAnswer& answer) {
    if (answer.head.status == 429)
        return {Errc::resource_exhausted, refusal_text(answer.head, {}) + ": too many tries"};
    if (answer.head.status == 503)
        return {Errc::unavailable, refusal_text(answer.head, {}) + ": it is too busy or cannot reach its database"};
    if (answer.head.status == 404)
        return {Errc::not_found, "the server answered 404: is this the port of an Usher gateway?"};
    return {Errc::unavailable, refusal_text(answer.head, answer.body)};
}

Result<SavedSession> sign_in(const TlsTrust& trust, const Endpoint& gateway, std::string_view username,
                             const SignInSecrets& secrets, const DeviceClaims& device) {
    if (!base::is_utf8(secrets.second_factor.reveal())) return {Errc::invalid_argument, "the code is not UTF-8 text"};
    if (!base::is_utf8(secrets.new_password.reveal()))
        return {Errc::invalid_argument, "the new password is not UTF-8 text"};
    if (!base::is_utf8(secrets.password.reveal())) return {Errc::invalid_argument, "the password is not UTF-8 text"};
    std::string body;
    body.reserve(32 * 1024);  // one block, so that wiping it wipes every copy
    const auto member = [&](std::string_view key, std::string_view value, bool first = false) {
        if (value.empty()) return;
        if (!first && body.back() != '{') body += ',';
        std::string quoted = base::json_quote(value);
        body.append("\"").append(key).append("\":").append(quoted);
        base::wipe(quoted);
    };
    body += '{';
    member("username", username);
    member("password", secrets.password.reveal());
    member("second_factor", secrets.second_factor.reveal());
    member("new_password", secrets.new_password.reveal());
    body += ",\"device\":{";
    member("device_id", device.device_id);
    member("name", device.name);
    member("brand", device.brand);
    member("model", device.model);
    member("os", device.os);
    member("language", device.language);
    body += "}}";
    auto answer = call_gateway(trust, gateway, {"POST", "/.usher/v1/sessions", nullptr, body});
    base::wipe(body);
    if (!answer) return std::move(answer).error();
    if (answer->head.status == 401)
        return {Errc::unauthenticated,
                "sign-in failed: the gateway does not accept this username and password" +
                    std::string(secrets.second_factor.empty() ? " (if you have a second factor, its code is needed too)"
                                                              : " with this code (a code is good once)") +
                    "; after ten tries in vain the next ones are not looked at, for up to 15 minutes"};
    if (answer->head.status == 403) {
        const auto refused = parse_json_object(answer->body);
        const auto why = refused ? json_text(*refused, "error") : std::nullopt;
        if (why && why->starts_with("device-"))
            return {Errc::permission_denied,
                    "this device may not sign in (" + base::escape_for_terminal(*why, 100) + "); ask an administrator"};
    }
    if (answer->head.status == 403) return {Errc::failed_precondition, "your password has to be changed"};
    if (answer->head.status == 422) {
        const auto refused = parse_json_object(answer->body);
        const auto why = refused ? json_text(*refused, "reason") : std::nullopt;
        return {Errc::invalid_argument,
                "the gateway does not take the new " + base::escape_for_terminal(why.value_or("password"), 500)};
    }
    if (answer->head.status != 201) return unexpected_answer(*answer);

    auto object = parse_json_object(answer->body);
    base::wipe(answer->body);
    if (!object) return {Errc::data_loss, "the gateway's answer: " + object.error().message};
    auto token = json_text(*object, "token");
    auto session_id = json_text(*object, "session_id");
    auto name = json_text(*object, "username");
    const auto expires = json_text(*object, "expires_at");
    const auto expires_at = expires ? base::parse_rfc3339(*expires) : std::nullopt;
    if (!token || !session_id || !name || !expires_at)
        return {Errc::data_loss, "the gateway's answer lacks a member; is this the port of an Usher gateway?"};
    return SavedSession{gateway,          trust.ca_file(),
                        std::move(*name), std::move(*session_id),
                        *expires_at,      base::Secret(std::move(*token))};
}

Result<void> sign_out(const TlsTrust& trust, const SavedSession& session) {
    auto answer = call_gateway(trust, session.gateway, {"DELETE", "/.usher/v1/sessions/current", &session.token, {}});
    if (!answer) return std::move(answer).error();
    if (answer->head.status != 204 && answer->head.status != 401) return unexpected_answer(*answer);
    return {};
}

Result<std::string> get_json(const TlsTrust& trust, const SavedSession& session, std::string_view path) {
    auto answer = call_gateway(trust, session.gateway, {"GET", path, &session.token, {}});
    if (!answer) return std::move(answer).error();
    if (answer->head.status == 401) return {Errc::unauthenticated, "the session is over"};
    if (answer->head.status != 200) return unexpected_answer(*answer);
    return std::move(answer->body);
}

}  // namespace usher::clients
