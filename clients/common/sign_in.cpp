#include "clients/common/sign_in.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "clients/common/json.hpp"
#include "clients/common/private_file.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;

namespace {

constexpr std::size_t claim_limit_bytes = 200;

/// The first line of a small file, trimmed; empty when it cannot be read.
std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

/// Claims are text of the machine's maker or owner: only what is short and well-formed is sent.
std::string claim(std::string text) {
    const bool printable = std::none_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
    return printable && text.size() <= claim_limit_bytes && base::is_utf8(text) ? text : std::string{};
}

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string os_name() {
    std::ifstream file("/etc/os-release");
    std::string text(16 * 1024, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (auto name = pretty_os_name(text); !name.empty()) return name;
    utsname system{};
    if (::uname(&system) != 0) return {};
    return std::string(system.sysname) + " " + system.release;
}

std::string device_id(const std::string& path) {
    auto kept = read_private_file(path, false);
    if (kept && *kept) {
        std::string_view text = **kept;
        if (text.ends_with('\n')) text.remove_suffix(1);
        if (const auto id = base::Uuid::parse(text)) return id->to_string();
    }
    const std::string made = base::new_uuid(base::SystemClock{}).to_string();
    return write_private_file(path, made + "\n").ok() ? made : std::string{};
}

}  // namespace

base::Error unexpected_answer(const GatewayAnswer& answer) {
    if (answer.head.status == 429)
        return {Errc::resource_exhausted, refusal_text(answer.head, {}) + ": too many tries"};
    if (answer.head.status == 503)
        return {Errc::unavailable, refusal_text(answer.head, {}) + ": it is too busy or cannot reach its database"};
    if (answer.head.status == 404)
        return {Errc::not_found, "the server answered 404: is this the port of an Usher gateway?"};
    return {Errc::unavailable, refusal_text(answer.head, answer.body)};
}

std::string language_of_locale(std::string_view locale) {
    std::string text{locale.substr(0, locale.find_first_of(".@"))};
    if (text == "C" || text == "POSIX") return {};
    std::replace(text.begin(), text.end(), '_', '-');
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    });
    return plain && text.size() >= 2 && text.size() <= 35 ? text : std::string{};
}

std::string pretty_os_name(std::string_view os_release) {
    while (!os_release.empty()) {
        const auto end = os_release.find('\n');
        std::string_view line = os_release.substr(0, end);
        os_release = end == std::string_view::npos ? std::string_view{} : os_release.substr(end + 1);
        if (!line.starts_with("PRETTY_NAME=")) continue;
        line.remove_prefix(12);
        if (line.size() >= 2 && (line.front() == '"' || line.front() == '\'') && line.back() == line.front())
            line = line.substr(1, line.size() - 2);
        return std::string(line);
    }
    return {};
}

DeviceClaims device_claims() {
    const char* locale = nullptr;
    for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
        locale = std::getenv(name);
        if (locale != nullptr && *locale != '\0') break;
    }
    DeviceClaims claims;
    claims.name = claim(host_name());
    claims.brand = claim(first_line("/sys/class/dmi/id/sys_vendor"));
    claims.model = claim(first_line("/sys/class/dmi/id/product_name"));
    claims.os = claim(os_name());
    claims.language = language_of_locale(locale == nullptr ? "" : locale);
    return claims;
}

DeviceClaims this_device(const std::string& device_id_file) {
    DeviceClaims claims = device_claims();
    claims.device_id = device_id(device_id_file);
    return claims;
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
