#include "audit/hold.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "usher/v1/access.pb.h"
#include "usher/v1/audit.pb.h"

namespace usher::audit {

using base::Errc;
using base::Result;

namespace {

constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t text_bytes_max = 200;

bool is_name(std::string_view text) {
    const auto lower_or_digit = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    return !text.empty() && text.size() <= name_bytes_max && lower_or_digit(text.front()) &&
           std::all_of(text.begin(), text.end(), [&](char c) { return lower_or_digit(c) || c == '-' || c == '.'; });
}

Result<void> check_text(std::string_view field, std::string_view value) {
    if (value.size() > text_bytes_max)
        return {Errc::invalid_argument,
                std::string(field) + ": is longer than " + std::to_string(text_bytes_max) + " bytes"};
    if (!base::is_utf8(value) || base::escape_for_terminal(value, 4 * text_bytes_max) != value)
        return {Errc::invalid_argument, std::string(field) + ": is not printable UTF-8"};
    return {};
}

base::UtcTime time_of(const google::protobuf::Timestamp& time) {
    // A hostile row may hold any number; what cannot be a time is brought to the nearest that can.
    constexpr std::int64_t seconds_max = 253'402'300'799;
    return base::from_micros(std::clamp(time.seconds(), -seconds_max, seconds_max) * 1'000'000 + time.nanos() / 1'000);
}

void concern(RecordFacts& facts, std::string_view account) {
    if (!account.empty()) facts.accounts.push_back(base::to_lower(account));
}

}  // namespace

Result<void> validate(const Hold& hold) {
    if (!is_name(hold.name))
        return {Errc::invalid_argument, "name: '" + base::escape_for_terminal(hold.name, 100) +
                                            "' is not a name; expected 1 to 64 lower-case letters, digits, '-' and "
                                            "'.', beginning with a letter or digit"};
    if (auto ok = check_text("case", hold.case_id); !ok) return ok;
    if (auto ok = check_text("account", hold.account); !ok) return ok;
    if (!hold.app.empty() && !is_name(hold.app))
        return {Errc::invalid_argument,
                "app: '" + base::escape_for_terminal(hold.app, 100) + "' cannot be the name of an app"};
    if (hold.from && hold.until && *hold.until <= *hold.from)
        return {Errc::invalid_argument, "until: must be later than 'from'"};
    if (hold.account.empty() && hold.app.empty() && !hold.from && !hold.until)
        return {Errc::invalid_argument,
                "name: the hold would keep every record; it must say an account, an app, "
                "'from' or 'until'"};
    return {};
}

std::optional<RecordFacts> facts_of(const JournalRecord& record) {
    RecordFacts facts{record.recorded_at, record.recorded_at, {}, {}};
    switch (record.type) {
        case RecordType::access_opened:
        case RecordType::access_progress:
        case RecordType::access_closed:
        case RecordType::access_denied: {
            usher::v1::AccessRecord access;
            if (!access.ParseFromString(record.payload)) return std::nullopt;
            if (access.has_opened_at()) facts.first = std::min(facts.first, time_of(access.opened_at()));
            if (access.has_closed_at()) facts.last = std::max(facts.last, time_of(access.closed_at()));
            concern(facts, access.username());
            facts.app = access.app();
            return facts;
        }
        case RecordType::session: {
            usher::v1::SessionRecord session;
            if (!session.ParseFromString(record.payload)) return std::nullopt;
            concern(facts, session.username());
            return facts;
        }
        case RecordType::admin: {
            usher::v1::AdminRecord admin;
            if (!admin.ParseFromString(record.payload)) return std::nullopt;
            concern(facts, admin.actor());
            constexpr std::string_view accounts = "accounts/", apps = "apps/";
            const std::string_view resource = admin.resource();
            if (resource.starts_with(accounts)) concern(facts, resource.substr(accounts.size()));
            if (resource.starts_with(apps)) facts.app = std::string(resource.substr(apps.size()));
            return facts;
        }
        case RecordType::system: {
            usher::v1::SystemRecord system;
            if (!system.ParseFromString(record.payload)) return std::nullopt;
            return facts;
        }
    }
    return std::nullopt;
}

bool covers(const Hold& hold, const RecordFacts& facts) noexcept {
    if (hold.from && facts.last < *hold.from) return false;
    if (hold.until && facts.first >= *hold.until) return false;
    if (!hold.app.empty() && facts.app != hold.app) return false;
    return hold.account.empty() ||
           std::find(facts.accounts.begin(), facts.accounts.end(), hold.account) != facts.accounts.end();
}

}  // namespace usher::audit
