#include "audit/access_fields.hpp"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/utf8.hpp"

namespace usher::audit {

using usher::v1::AccessRecord;

namespace {

std::int64_t micros(const google::protobuf::Timestamp& t) {
    constexpr std::int64_t seconds_max = INT64_MAX / 1'000'000 - 1;
    return std::clamp(t.seconds(), -seconds_max, seconds_max) * 1'000'000 + t.nanos() / 1000;
}

void append_without_nul(std::string_view text, std::string& out) {
    for (const char c : text) {
        if (c == '\0')
            out += "\xef\xbf\xbd";
        else
            out.push_back(c);
    }
}

std::string bounded(std::string_view text) {
    std::string out;
    if (text.size() <= field_text_bytes_max && text.find('\0') == std::string_view::npos) {
        out = text;
        return out;
    }
    append_without_nul(text.substr(0, field_text_bytes_max + 1), out);
    if (out.size() <= field_text_bytes_max) return out;
    out.resize(base::utf8_cut(out, field_text_bytes_max));
    return out;
}

std::string joined(const AccessRecord& r) {
    std::string out = "\n";
    for (const auto& reason : r.reasons()) {
        const std::size_t begin = out.size();
        append_without_nul(reason, out);
        std::replace(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(), '\n', ' ');
        out.push_back('\n');
    }
    return out;
}

constexpr std::string_view event_words[] = {"UNSPECIFIED", "OPENED", "PROGRESS", "CLOSED", "DENIED"};
constexpr std::string_view kind_words[] = {"UNSPECIFIED", "TUNNEL", "UDP", "WEB"};
constexpr std::string_view verdict_words[] = {"UNSPECIFIED", "ALLOWED", "DENIED", "FAILED"};
constexpr std::string_view close_words[] = {"UNSPECIFIED",     "CLIENT_CLOSED",   "APP_CLOSED",     "IDLE_TIMEOUT",
                                            "MAX_DURATION",    "REVOKED",         "POLICY_CHANGED", "SHUTDOWN",
                                            "GATEWAY_CRASHED", "APP_UNREACHABLE", "APP_ERROR",      "CLIENT_ERROR",
                                            "JOURNAL_FAILED",  "SESSION_EXPIRED", "SIGNED_OUT",     "CONTROL_LOST"};
static_assert(std::size(event_words) == usher::v1::AccessEventType::Value_ARRAYSIZE);
static_assert(std::size(kind_words) == usher::v1::AccessKind::Value_ARRAYSIZE);
static_assert(std::size(verdict_words) == usher::v1::Verdict::Value_ARRAYSIZE);
static_assert(std::size(close_words) == usher::v1::CloseReason::Value_ARRAYSIZE);
constexpr std::string_view type_words[] = {"access", "admin", "session", "system"};

template <std::size_t N>
std::string word(const std::string_view (&words)[N], int value) {
    return std::string(value >= 0 && static_cast<std::size_t>(value) < N ? words[value] : words[0]);
}

template <class Number>
std::int64_t number(Number value) {
    if constexpr (sizeof(Number) == sizeof(std::uint64_t) && std::is_unsigned_v<Number>)
        return static_cast<std::int64_t>(std::min<Number>(value, INT64_MAX));
    else
        return static_cast<std::int64_t>(value);
}

#define USHER_TEXT(name, column, expression)                                                                     \
    {                                                                                                            \
        {name, FieldType::text}, column, [](const AccessRecord& r) -> FieldValue { return bounded(expression); } \
    }
#define USHER_NUMBER(name, expression)                                                                           \
    {                                                                                                            \
        {name, FieldType::integer}, name, [](const AccessRecord& r) -> FieldValue { return number(expression); } \
    }
#define USHER_TIME(name)                                                                                            \
    {                                                                                                               \
        {#name, FieldType::time}, #name,                                                                            \
            [](const AccessRecord& r) -> FieldValue { return r.has_##name() ? micros(r.name()) : std::int64_t{0}; } \
    }
#define USHER_ENUM(name, words)                                                       \
    {                                                                                 \
        {#name, FieldType::enumeration, words}, #name,                                \
            [](const AccessRecord& r) -> FieldValue { return word(words, r.name()); } \
    }

const AccessField fields[] = {
    USHER_TEXT("access_id", "access_id", r.access_id()),
    USHER_TEXT("gateway_id", "gateway_id", r.gateway_id()),
    USHER_NUMBER("sequence", r.sequence()),
    USHER_ENUM(event, event_words),
    USHER_ENUM(kind, kind_words),
    USHER_TEXT("account_id", "account_id", r.account_id()),
    USHER_TEXT("username", "username", r.username()),
    USHER_TEXT("department", "department", r.department()),
    USHER_TEXT("session_id", "session_id", r.session_id()),
    USHER_TEXT("device.device_id", "device_id", r.device().device_id()),
    USHER_TEXT("device.name", "device_name", r.device().name()),
    USHER_TEXT("device.brand", "device_brand", r.device().brand()),
    USHER_TEXT("device.model", "device_model", r.device().model()),
    USHER_TEXT("device.os", "device_os", r.device().os()),
    USHER_TEXT("device.language", "device_language", r.device().language()),
    USHER_TEXT("device.network_type", "device_network_type", r.device().network_type()),
    USHER_TEXT("client_ip", "client_ip", r.client_ip()),
    USHER_NUMBER("client_port", r.client_port()),
    USHER_TEXT("app", "app", r.app()),
    USHER_TEXT("destination_host", "destination_host", r.destination_host()),
    USHER_TEXT("destination_ip", "destination_ip", r.destination_ip()),
    USHER_NUMBER("destination_port", r.destination_port()),
    USHER_TIME(opened_at),
    USHER_TIME(closed_at),
    USHER_NUMBER("duration_us", r.duration_us()),
    USHER_NUMBER("bytes_up", r.bytes_up()),
    USHER_NUMBER("bytes_down", r.bytes_down()),
    {{"bytes_uncertain", FieldType::boolean},
     "bytes_uncertain",
     [](const AccessRecord& r) -> FieldValue { return std::int64_t{r.bytes_uncertain()}; }},
    USHER_ENUM(verdict, verdict_words),
    {{"reasons", FieldType::list}, "reasons", [](const AccessRecord& r) -> FieldValue { return joined(r); }},
    USHER_TEXT("policy", "policy", r.policy()),
    USHER_NUMBER("policy_version", r.policy_version()),
    USHER_ENUM(close_reason, close_words),
    USHER_TIME(revoked_at),
    USHER_NUMBER("bytes_after_revocation", r.bytes_after_revocation()),
    USHER_TEXT("region", "region", r.region()),
    USHER_TEXT("retention_class", "retention_class", r.retention_class()),
    USHER_NUMBER("count", r.count()),
    USHER_TEXT("enrolled_device_id", "enrolled_device_id", r.enrolled_device_id()),
    USHER_TEXT("enrolled_device_name", "enrolled_device_name", r.enrolled_device_name()),
    USHER_TEXT("enrolled_device_state", "enrolled_device_state", r.enrolled_device_state()),
    USHER_TIME(second_factor_at),
    USHER_TEXT("device.os_id", "device_os_id", r.device().os_id()),
    USHER_TEXT("device.os_version", "device_os_version", r.device().os_version()),
    USHER_TEXT("device.agent_version", "device_agent_version", r.device().agent_version()),
    USHER_TEXT("device.uid", "device_uid", r.device().uid()),
    USHER_TEXT("device.time_zone", "device_time_zone", r.device().time_zone()),
    USHER_TEXT("device.disk_encrypted", "device_disk_encrypted", r.device().disk_encrypted()),
    USHER_TEXT("device.firewall", "device_firewall", r.device().firewall()),
    USHER_TEXT("device.screen_lock", "device_screen_lock", r.device().screen_lock()),
};

#undef USHER_TEXT
#undef USHER_NUMBER
#undef USHER_TIME
#undef USHER_ENUM

}  // namespace

std::span<const AccessField> access_fields() { return fields; }

std::int64_t opened_at_micros(const AccessRecord& access) {
    return access.has_opened_at() ? micros(access.opened_at()) : 0;
}

std::span<const FilterField> filter_fields() {
    static const std::vector<FilterField> all = [] {
        std::vector<FilterField> out;
        for (const auto& field : fields) out.push_back(field.filter);
        out.push_back({"type", FieldType::enumeration, type_words});
        return out;
    }();
    return all;
}

std::size_t type_field() { return std::size(fields); }

}  // namespace usher::audit
