#include "gateway/revocation.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "wire/http1/json_object.hpp"

namespace usher::gateway {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using Kind = Revocation::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 7> kinds{{
    {"session", Kind::session},
    {"sessions-of", Kind::sessions_of},
    {"account-disabled", Kind::account_disabled},
    {"account-deleted", Kind::account_deleted},
    {"device-locked", Kind::device_locked},
    {"device-lost", Kind::device_lost},
    {"device-unbound", Kind::device_unbound},
}};
constexpr std::size_t text_bytes_max = 400;
constexpr std::array<std::string_view, 9> members{"kind",   "id",       "account_id", "device_key", "at",
                                                  "action", "resource", "actor",      "actor_id"};

bool is_of_device(Kind kind) {
    return kind == Kind::device_locked || kind == Kind::device_lost || kind == Kind::device_unbound;
}

bool is_id(const std::string& text) {
    const auto id = base::Uuid::parse(text);
    return id && id->to_string() == text;
}

/// What is wrong with the line; empty when nothing is.
std::string read_line(std::string_view line, Revocation& out) {
    auto object = wire::http1::parse_json_object(line);
    if (!object) return "is no JSON object of texts";
    const bool whole = object->members.size() == members.size() && object->objects.empty() &&
                       std::all_of(members.begin(), members.end(),
                                   [&](std::string_view key) { return object->member(key) != nullptr; });
    if (!whole) return "has members that are not known, or too few";
    const auto text = [&](std::string_view key) {
        const auto* found = object->member(key);
        return found != nullptr ? *found : std::string();
    };
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == text("kind"); });
    if (kind == kinds.end()) return "'kind' is none of the known ones";
    out.kind = kind->second;
    out.id = text("id");
    out.account_id = text("account_id");
    if (!is_id(out.id) || !is_id(out.account_id)) return "'id' or 'account_id' is no UUID";
    const auto key = text("device_key");
    const auto bytes = base::from_hex(key);
    if (is_of_device(out.kind) != !key.empty() || !bytes ||
        (!key.empty() && bytes->size() != sizeof(auth::DeviceKeyHash)))
        return "'device_key' is not 64 hexadecimal digits for a device, and empty for everything else";
    if (!key.empty()) std::copy(bytes->begin(), bytes->end(), out.device_key.emplace().begin());
    const auto at = text("at");
    std::int64_t us = 0;
    const auto [end, error] = std::from_chars(at.data(), at.data() + at.size(), us);
    if (at.empty() || error != std::errc{} || end != at.data() + at.size()) return "'at' is no number of microseconds";
    out.at = base::from_micros(us);
    out.action = text("action");
    out.resource = text("resource");
    out.actor = text("actor");
    out.actor_id = text("actor_id");
    for (const auto* value : {&out.action, &out.resource, &out.actor, &out.actor_id})
        if (value->size() > text_bytes_max) return "a text is too long";
    if (out.action.empty() || out.resource.empty() || out.actor.empty())
        return "'action', 'resource' or 'actor' is missing";
    return {};
}

}  // namespace

auth::Affected affected_by(const Revocation& revocation) {
    switch (revocation.kind) {
        case Revocation::Kind::session:
            return auth::Affected::session(revocation.id);
        case Revocation::Kind::sessions_of:
        case Revocation::Kind::account_disabled:
        case Revocation::Kind::account_deleted:
        case Revocation::Kind::device_locked:
        case Revocation::Kind::device_lost:
        case Revocation::Kind::device_unbound:
            break;
    }
    return auth::Affected::account(revocation.account_id);
}

std::string to_line(const Revocation& r) {
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.second == r.kind; });
    const auto member = [](std::string_view key, std::string_view value) {
        return "," + base::json_quote(key) + ":" + base::json_quote(value);
    };
    return "{\"kind\":" + base::json_quote(kind->first) + member("id", r.id) + member("account_id", r.account_id) +
           member("device_key", r.device_key ? base::to_hex(*r.device_key) : "") +
           member("at", std::to_string(base::to_micros(r.at))) + member("action", r.action) +
           member("resource", r.resource) + member("actor", r.actor) + member("actor_id", r.actor_id) + "}";
}

Result<std::vector<Revocation>> parse_revocations(std::string_view text) {
    std::vector<Revocation> revocations;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = text.find('\n');
        const auto bad = [&](const std::string& what) {
            return Error{Errc::data_loss, "line " + std::to_string(number) + " " + what};
        };
        if (end == std::string_view::npos) return bad("has no end; the file was cut");
        if (const auto what = read_line(text.substr(0, end), revocations.emplace_back()); !what.empty())
            return bad(what);
        text.remove_prefix(end + 1);
    }
    return revocations;
}

}  // namespace usher::gateway
