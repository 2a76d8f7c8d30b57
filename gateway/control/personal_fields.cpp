#include "gateway/control/personal_fields.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace usher::gateway::control {
namespace {

namespace v1 = usher::v1;

constexpr std::array<std::string_view, 4> personal = {"office_mail", "office_phone", "employee_number", "outside_id"};

/// Reads as much of JSON as is needed to tell the members of an object apart. Values within values are skipped by their
/// brackets; what is odd within them stays within them.
class Members {
public:
    explicit Members(std::string_view json) : json_(json) {}

    /// nullopt: it is no object, or something follows it.
    std::optional<std::string> masked() {
        skip_space();
        if (!take('{')) return std::nullopt;
        skip_space();
        if (!take('}')) {
            do {
                if (!member()) return std::nullopt;
            } while (take(','));
            if (!take('}')) return std::nullopt;
        }
        skip_space();
        if (at_ != json_.size()) return std::nullopt;
        copy_to(at_);
        return std::move(out_);
    }

private:
    bool member() {
        skip_space();
        const auto key = text();
        skip_space();
        if (!key || !take(':')) return false;
        skip_space();
        const auto begin = at_;
        if (!value()) return false;
        if (is_personal(*key) && json_.substr(begin, at_ - begin) != "\"\"") {
            copy_to(begin);
            out_.append("\"").append(masked_text).append("\"");
            copied_ = at_;
        }
        skip_space();
        return true;
    }

    /// A name with an escape in it is none of ours, and could be any.
    static bool is_personal(std::string_view key) {
        return key.find('\\') != std::string_view::npos ||
               std::find(personal.begin(), personal.end(), key) != personal.end();
    }

    /// Between its quotation marks, as written.
    std::optional<std::string_view> text() {
        if (!take('"')) return std::nullopt;
        const auto begin = at_;
        for (; at_ < json_.size(); ++at_) {
            if (json_[at_] == '"') return json_.substr(begin, at_++ - begin);
            if (json_[at_] == '\\') ++at_;
        }
        return std::nullopt;
    }

    bool value() {
        std::size_t depth = 0;
        const auto begin = at_;
        while (at_ < json_.size()) {
            const char c = json_[at_];
            if (c == '"') {
                if (!text()) return false;
                continue;
            }
            if (c == '{' || c == '[') ++depth;
            if (c == '}' || c == ']' || c == ',') {
                if (depth == 0) break;
                if (c != ',') --depth;
            }
            ++at_;
        }
        return depth == 0 && at_ > begin;
    }

    void skip_space() {
        while (at_ < json_.size() && std::string_view(" \t\r\n").find(json_[at_]) != std::string_view::npos) ++at_;
    }
    bool take(char c) {
        if (at_ >= json_.size() || json_[at_] != c) return false;
        ++at_;
        return true;
    }
    void copy_to(std::size_t end) {
        out_.append(json_.substr(copied_, end - copied_));
        copied_ = end;
    }

    std::string_view json_;
    std::size_t at_ = 0;
    std::size_t copied_ = 0;  ///< up to here json_ is in out_
    std::string out_;
};

bool names_personal(std::string_view text) {
    return std::any_of(personal.begin(), personal.end(),
                       [&](std::string_view field) { return text.find(field) != std::string_view::npos; });
}

}  // namespace

std::string mask_personal_members(std::string_view json) {
    if (json.empty()) return {};
    auto masked = Members(json).masked();
    return masked ? std::move(*masked) : "\"" + std::string(masked_text) + "\"";
}

void mask_personal_fields(v1::Account& account) {
    for (const auto name : personal) {
        const auto* field = v1::Account::descriptor()->FindFieldByName(std::string(name));
        if (!account.GetReflection()->HasField(account, field)) continue;
        account.GetReflection()->ClearField(&account, field);
        account.add_masked_fields(std::string(name));
    }
}

void mask_personal_fields(v1::AuditEvent& event) {
    if (!event.has_admin()) return;
    auto& admin = *event.mutable_admin();
    admin.set_before_json(mask_personal_members(admin.before_json()));
    admin.set_after_json(mask_personal_members(admin.after_json()));
    // "employee_number: '7' is the number of account 'bob' already"
    if (names_personal(admin.detail())) admin.set_detail(std::string(masked_text));
}

void mask_personal_fields(v1::ParkedRecord& parked) {
    parked.clear_payload();
    if (parked.has_decoded()) mask_personal_fields(*parked.mutable_decoded());
}

}  // namespace usher::gateway::control
