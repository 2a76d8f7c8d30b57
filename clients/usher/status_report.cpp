#include "clients/usher/status_report.hpp"

#include "base/text.hpp"
#include "clients/common/table.hpp"
#include "clients/usher/up/session_source.hpp"

namespace usher::clients::agent {

namespace json = boost::json;
using State = StatusReport::State;

namespace {

std::string_view name_of(State state) {
    switch (state) {
        case State::signed_in:
            return "signed-in";
        case State::expired:
            return "expired";
        case State::ended:
            return "ended";
        case State::unreachable:
            return "unreachable";
        case State::signed_out:
            break;
    }
    return "signed-out";
}

/// RFC 3339 of the gateway in the short form of tables; what is no time stays as it came.
std::string shown_time(const json::object& object, std::string_view key) {
    const auto text = json_text(object, key).value_or("");
    const auto time = base::parse_rfc3339(text);
    return time ? short_time(*time) : text;
}

std::uint64_t number(const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(json::string_view(key.data(), key.size()));
    if (value == nullptr) return 0;
    const auto parsed = json::try_value_to<std::uint64_t>(*value);
    return parsed ? *parsed : 0;
}

void add_agent(KeyValues& rows, const std::optional<json::object>& agent) {
    if (!agent) {
        rows.add("agent", "not running; start it with: usher up");
        return;
    }
    const auto text = [&agent](std::string_view key) { return json_text(*agent, key).value_or(""); };
    rows.add("agent", "running, process " + std::to_string(number(*agent, "pid")) + ", since " +
                          shown_time(*agent, "started_at"));
    rows.add("local proxy", text("address") + " (SOCKS5 and HTTP)");
    rows.add("PAC file", text("pac"));
    if (const auto* forwards = agent->if_contains("forwards"); forwards != nullptr && forwards->is_array())
        for (const auto& forward : forwards->get_array())
            if (forward.is_object())
                rows.add("forward", json_text(forward.get_object(), "local").value_or("") + " to " +
                                        json_text(forward.get_object(), "destination").value_or(""));
    rows.add("connections", std::to_string(number(*agent, "connections")));
    rows.add("tunnels", std::to_string(number(*agent, "open_tunnels")) + " open, " +
                            std::to_string(number(*agent, "tunnels")) + " in all; up " +
                            human_bytes(number(*agent, "bytes_up")) + ", down " +
                            human_bytes(number(*agent, "bytes_down")));
    if (const auto error = text("last_error"); !error.empty())
        rows.add("last error", shown_time(*agent, "last_error_at") + ": " + error);
}

}  // namespace

std::string ended_words(std::string_view reason, std::string_view gateway) {
    const std::string again = "; sign in again with: usher login --gateway " + std::string(gateway);
    if (reason == "signed-out") return "you signed out" + again;
    if (reason == "revoked") return "an administrator ended your session" + again;
    if (reason == "expired") return "your session was not used for too long, or its time is over" + again;
    if (reason == "displaced") return "you signed in on so many devices that this, the oldest session, ended" + again;
    if (reason == "account-disabled") return "your account is disabled; ask your administrator";
    if (reason == "account-deleted") return "your account does not exist any more; ask your administrator";
    return "the gateway does not know your session any more: it was ended, or not used for too long" + again;
}

StatusReport report_status(const std::optional<SavedSession>& session, const std::optional<GatewayWord>& word,
                           base::UtcTime now) {
    if (!session) return {State::signed_out, signed_out_words()};
    if (session->expires_at <= now) return {State::expired, expired_words(*session)};
    if (!word) return {State::unreachable, "the gateway was not asked"};
    switch (word->kind) {
        case GatewayWord::Kind::valid:
            return {State::signed_in, {}};
        case GatewayWord::Kind::over:
            return {State::ended,
                    ended_words(json_text(word->answer, "reason").value_or(""), session->gateway.to_string())};
        case GatewayWord::Kind::unreachable:
            break;
    }
    return {State::unreachable, "the gateway " + session->gateway.to_string() + " cannot be asked: " + word->error +
                                    "; check your network, then ask your administrator"};
}

json::object status_json(const StatusReport& report, const std::optional<SavedSession>& session,
                         const std::optional<GatewayWord>& word, const std::optional<json::object>& agent,
                         const std::optional<std::string>& device_key) {
    json::object out;
    if (word && word->kind == GatewayWord::Kind::valid) out = word->answer;
    out["state"] = std::string(name_of(report.state));
    if (!report.words.empty()) out["words"] = report.words;
    if (session) {
        out["gateway"] = session->gateway.to_string();
        out["username"] = session->username;
        out["session_id"] = session->session_id;
        if (!out.contains("expires_at")) out["expires_at"] = base::format_rfc3339(session->expires_at);
    }
    out["device_key"] = nullptr;
    if (device_key) out["device_key"] = *device_key;
    if (agent)
        out["agent"] = *agent;
    else
        out["agent"] = nullptr;
    return out;
}

std::string status_table(const StatusReport& report, const std::optional<SavedSession>& session,
                         const std::optional<GatewayWord>& word, const std::optional<json::object>& agent,
                         const std::optional<std::string>& device_key) {
    KeyValues rows;
    rows.add("state", name_of(report.state));
    if (!report.words.empty()) rows.add("why", report.words);
    if (session) {
        rows.add("gateway", session->gateway.to_string());
        rows.add("username", session->username);
        if (word && word->kind == GatewayWord::Kind::valid) {
            rows.add("department", json_text(word->answer, "department").value_or(""));
            rows.add("signed in", shown_time(word->answer, "created_at"));
            rows.add("expires", shown_time(word->answer, "expires_at"));
            if (word->answer.contains("second_factor_at"))
                rows.add("second factor", shown_time(word->answer, "second_factor_at"));
            rows.add("open accesses", std::to_string(number(word->answer, "open_accesses")));
        } else {
            rows.add("expires", short_time(session->expires_at));
        }
        rows.add("session", session->session_id);
    }
    if (device_key) rows.add("device key", *device_key);
    add_agent(rows, agent);
    return rows.render();
}

}  // namespace usher::clients::agent
