// Classes and holds: what is kept, and how long.

#include <algorithm>
#include <set>

#include "audit/retention_rows.hpp"
#include "base/text.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::SqlError;
using base::sql::Transaction;
using base::sql::Value;

namespace {

std::string json_of(const RetentionSetting& setting) {
    return "{\"min_days\":" + std::to_string(setting.min_days) +
           ",\"max_days\":" + (setting.max_days ? std::to_string(*setting.max_days) : "null") + "}";
}

std::string json_of(const Hold& hold) {
    const auto time = [](const std::optional<base::UtcTime>& at) {
        return at ? base::json_quote(base::format_rfc3339(*at)) : std::string("null");
    };
    return "{\"case\":" + base::json_quote(hold.case_id) + ",\"account\":" + base::json_quote(hold.account) +
           ",\"app\":" + base::json_quote(hold.app) + ",\"from\":" + time(hold.from) +
           ",\"until\":" + time(hold.until) + ",\"created_by\":" + base::json_quote(hold.created_by) + "}";
}

std::string resource_of(RetentionClass each) { return "retention_classes/" + std::string(to_word(each)); }
std::string name_of(const RetentionResource& resource) {
    if (const auto* hold = std::get_if<Hold>(&resource)) return "holds/" + hold->name;
    return resource_of(std::get<RetentionSetting>(resource).retention_class);
}

/// What ends a transaction's body from within.
void must(Result<void> done) {
    if (!done) throw SqlError(std::move(done).error());
}

RetentionOutcome put(Transaction& tx, const RetentionSetting& wanted, base::UtcTime now,
                     const RecordRetention& record) {
    const auto classes = read_classes(tx);
    const auto& stored = *std::find_if(classes.begin(), classes.end(), [&](const auto& each) {
        return each.setting.retention_class == wanted.retention_class;
    });
    if (stored.updated_at && stored.setting == wanted) return RetentionOutcome::unchanged;
    must(record(
        {"retention_class.apply", resource_of(wanted.retention_class), json_of(stored.setting), json_of(wanted)}));
    tx.execute(
        "INSERT INTO retention_classes (name, min_days, max_days, updated_at) VALUES ($1, $2, $3, $4) ON CONFLICT "
        "(name) DO UPDATE SET min_days = excluded.min_days, max_days = excluded.max_days, updated_at = "
        "excluded.updated_at",
        {std::string(to_word(wanted.retention_class)), wanted.min_days,
         wanted.max_days ? Value(*wanted.max_days) : Value(std::monostate{}), base::to_micros(now)});
    return stored.updated_at ? RetentionOutcome::updated : RetentionOutcome::created;
}

RetentionOutcome put(Transaction& tx, Hold wanted, const std::string& actor, base::UtcTime now,
                     const RecordRetention& record) {
    const auto holds = read_holds(tx);
    const auto stored =
        std::find_if(holds.begin(), holds.end(), [&](const Hold& hold) { return hold.name == wanted.name; });
    const bool exists = stored != holds.end();
    if (exists && stored->same_order(wanted)) return RetentionOutcome::unchanged;
    if (!exists && holds.size() >= RetentionStore::holds_max)
        throw SqlError(Error{Errc::failed_precondition,
                             "there are " + std::to_string(holds.size()) + " holds; more cannot be kept"});
    wanted.created_by = exists ? stored->created_by : actor;
    wanted.created_at = exists ? stored->created_at : now;
    must(record({"hold.apply", "holds/" + wanted.name, exists ? json_of(*stored) : std::string(), json_of(wanted)}));
    tx.execute(
        "INSERT INTO holds (name, case_id, account, app, from_time, until_time, created_by, created_at) VALUES ($1, "
        "$2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO UPDATE SET case_id = excluded.case_id, account = "
        "excluded.account, app = excluded.app, from_time = excluded.from_time, until_time = excluded.until_time",
        {wanted.name, wanted.case_id, wanted.account, wanted.app, maybe(wanted.from), maybe(wanted.until),
         wanted.created_by, base::to_micros(wanted.created_at)});
    return exists ? RetentionOutcome::updated : RetentionOutcome::created;
}

Result<void> check(const std::vector<RetentionResource>& resources) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < resources.size(); ++i) {
        const auto where = "resources[" + std::to_string(i) + "].";
        if (auto ok = std::visit([](const auto& each) { return validate(each); }, resources[i]); !ok)
            return {ok.error().code, where + ok.error().message};
        if (!names.insert(name_of(resources[i])).second)
            return {Errc::invalid_argument, where + "name: the same resource is there twice"};
    }
    return {};
}

}  // namespace

std::vector<RetentionStore::Stored> read_classes(Transaction& tx) {
    std::vector<RetentionStore::Stored> out;
    for (const auto each : retention_classes) out.push_back({default_setting(each), std::nullopt});
    for (const auto& row : tx.execute("SELECT name, min_days, max_days, updated_at FROM retention_classes")) {
        const auto name = parse_retention_class(row.text(0));
        const RetentionSetting setting{name.value_or(RetentionClass::access), row.integer(1), row.maybe_integer(2)};
        const auto valid = validate(setting);
        if (!name || !valid)
            throw SqlError(
                Error{Errc::data_loss, "table retention_classes, row '" + base::escape_for_terminal(row.text(0), 100) +
                                           "': " + (name ? valid.error().message : "is no class of records")});
        for (auto& stored : out)
            if (stored.setting.retention_class == *name) stored = {setting, base::from_micros(row.integer(3))};
    }
    return out;
}

std::vector<Hold> read_holds(Transaction& tx) {
    std::vector<Hold> out;
    for (const auto& row :
         tx.execute("SELECT name, case_id, account, app, from_time, until_time, created_by, created_at FROM holds")) {
        Hold hold{row.text(0),        row.text(1),        row.text(2), row.text(3),
                  maybe_time(row, 4), maybe_time(row, 5), row.text(6), base::from_micros(row.integer(7))};
        if (auto valid = validate(hold); !valid)
            throw SqlError(Error{Errc::data_loss, "table holds, row '" + base::escape_for_terminal(hold.name, 100) +
                                                      "': " + valid.error().message});
        out.push_back(std::move(hold));
    }
    std::sort(out.begin(), out.end(), [](const Hold& a, const Hold& b) { return a.name < b.name; });
    return out;
}

Result<std::vector<RetentionStore::Stored>> RetentionStore::classes() {
    std::vector<Stored> out;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        out = read_classes(tx);
        return {};
    });
    if (!read) return std::move(read).error();
    return out;
}

Result<std::vector<Hold>> RetentionStore::holds() {
    std::vector<Hold> out;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        out = read_holds(tx);
        return {};
    });
    if (!read) return std::move(read).error();
    return out;
}

Result<std::vector<RetentionOutcome>> RetentionStore::apply(const std::vector<RetentionResource>& resources,
                                                            const std::string& actor, base::UtcTime now,
                                                            const RecordRetention& record) {
    if (auto ok = check(resources); !ok) return std::move(ok).error();
    std::vector<RetentionOutcome> out;
    auto done = database_.transaction([&](Transaction& tx) -> Result<void> {
        out.clear();
        take_turn(tx);
        for (const auto& resource : resources) {
            if (const auto* setting = std::get_if<RetentionSetting>(&resource))
                out.push_back(put(tx, *setting, now, record));
            else
                out.push_back(put(tx, std::get<Hold>(resource), actor, now, record));
        }
        return {};
    });
    if (!done) return std::move(done).error();
    return out;
}

Result<void> RetentionStore::delete_hold(const std::string& name, const RecordRetention& record) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        take_turn(tx);
        for (const auto& hold : read_holds(tx)) {
            if (hold.name != name) continue;
            if (auto ok = record({"hold.delete", "holds/" + name, json_of(hold), {}}); !ok) return ok;
            tx.execute("DELETE FROM holds WHERE name = $1", {name});
            return {};
        }
        return {Errc::not_found, "hold '" + base::escape_for_terminal(name, 100) + "' does not exist"};
    });
}

Result<void> RetentionStore::reset_class(RetentionClass retention_class, const RecordRetention& record) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        take_turn(tx);
        for (const auto& stored : read_classes(tx)) {
            if (stored.setting.retention_class != retention_class || !stored.updated_at) continue;
            const auto after = json_of(default_setting(retention_class));
            if (auto ok =
                    record({"retention_class.delete", resource_of(retention_class), json_of(stored.setting), after});
                !ok)
                return ok;
            tx.execute("DELETE FROM retention_classes WHERE name = $1", {std::string(to_word(retention_class))});
        }
        return {};
    });
}

}  // namespace usher::audit
