#include "auth/change_json.hpp"

#include "auth/validate.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

/// Writes one object, members in the order of the calls.
class ObjectWriter {
public:
    void text(std::string_view key, std::string_view value) { member(key) += base::json_quote(value); }
    void time(std::string_view key, base::UtcTime value) { text(key, base::format_rfc3339(value)); }
    void texts(std::string_view key, const std::vector<std::string>& values) {
        list(key, values, [](const std::string& value) { return base::json_quote(value); });
    }
    template <class Values, class ToJson>
    void list(std::string_view key, const Values& values, ToJson to_json_text) {
        auto& out = member(key);
        out += '[';
        bool first = true;
        for (const auto& value : values) {
            if (!first) out += ',';
            first = false;
            out += to_json_text(value);
        }
        out += ']';
    }
    std::string finish() && { return std::move(out_ += '}'); }

private:
    std::string& member(std::string_view key) {
        out_ += out_.empty() ? '{' : ',';
        return out_ += base::json_quote(key) + ':';
    }
    std::string out_;
};

std::string rule_json(const Rule& rule) {
    ObjectWriter out;
    out.texts("accounts", rule.accounts);
    out.texts("groups", rule.groups);
    out.texts("departments", rule.departments);
    return std::move(out).finish();
}

}  // namespace

std::string to_json(const Account& account) {
    ObjectWriter out;
    out.text("account_id", account.id);
    out.text("username", account.username);
    out.text("display_name", account.display_name);
    out.text("department", account.department);
    out.texts("groups", account.groups);
    out.text("office_mail", account.office_mail);
    out.text("office_phone", account.office_phone);
    out.text("role", to_word(account.role));
    out.text("status", to_word(account.status));
    out.time("created_at", account.created_at);
    out.time("updated_at", account.updated_at);
    return std::move(out).finish();
}

std::string to_json(const App& app) {
    ObjectWriter out;
    out.text("name", app.name);
    out.list("destinations", app.destinations, [](const auto& d) { return base::json_quote(d.to_string()); });
    out.list("allow_addresses", app.allow_addresses, [](const auto& a) { return base::json_quote(a.to_string()); });
    out.time("updated_at", app.updated_at);
    return std::move(out).finish();
}

std::string to_json(const Policy& policy) {
    ObjectWriter out;
    out.text("name", policy.name);
    out.texts("apps", policy.apps);
    out.list("allow", policy.allow, rule_json);
    out.list("deny", policy.deny, rule_json);
    out.time("updated_at", policy.updated_at);
    return std::move(out).finish();
}

}  // namespace usher::auth
