#include "auth/posture.hpp"

#include <algorithm>
#include <charconv>

#include "auth/validate.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;
using base::Result;

enum class Kind { text, version, truth };

/// What conditions can be about. A text or a truth of a posture, by the field's name.
struct Field {
    std::string_view name;
    Kind kind;
    std::string Posture::*text;
    std::optional<bool> Posture::*truth;
};

constexpr Field fields[] = {
    {"agent_version", Kind::version, &Posture::agent_version, nullptr},
    {"device_uid", Kind::text, &Posture::device_uid, nullptr},
    {"disk_encrypted", Kind::truth, nullptr, &Posture::disk_encrypted},
    {"firewall", Kind::truth, nullptr, &Posture::firewall},
    {"network_type", Kind::text, &Posture::network_type, nullptr},
    {"os", Kind::text, &Posture::os, nullptr},
    {"os_version", Kind::version, &Posture::os_version, nullptr},
    {"screen_lock", Kind::truth, nullptr, &Posture::screen_lock},
    {"time_zone", Kind::text, &Posture::time_zone, nullptr},
};

constexpr std::string_view expected =
    "expected disk_encrypted, firewall or screen_lock, as it is or behind \"not\"; os_version or agent_version with =, "
    "!=, <, <=, > or >= and a version such as 12.4; or os, network_type, time_zone or device_uid with = or != and a "
    "text";

Error invalid(std::string_view field, const std::string& problem) {
    return {Errc::invalid_argument, std::string(field) + ": " + problem};
}

std::string in_quotes(std::string_view text) { return "'" + base::escape_for_terminal(text, 100) + "'"; }

std::optional<std::uint64_t> number_of(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    // A database's and a record's integers have a sign.
    const bool good = error == std::errc() && end == text.data() + text.size() && number <= INT64_MAX &&
                      (text.size() == 1 || text.front() != '0');
    return good ? std::optional(number) : std::nullopt;
}

}  // namespace

std::optional<Version> Version::parse(std::string_view text) noexcept {
    Version version;
    for (auto& part : version.parts) {
        const auto digits = std::min(text.find('.'), text.size());
        if (digits == 0 || digits > 9) return std::nullopt;
        const auto [end, error] = std::from_chars(text.data(), text.data() + digits, part);
        if (error != std::errc() || end != text.data() + digits) return std::nullopt;
        if (digits == text.size()) return version;
        text.remove_prefix(digits + 1);
    }
    return std::nullopt;
}

Result<Posture> Posture::from_texts(const Texts& texts) {
    Posture posture;
    for (const auto& [name, value] : texts) {
        if (auto ok = check_text(name, value); !ok) return ok.error();
        if (value.empty()) return invalid(name, "is empty; what is not known is left out");
        const auto* field = std::find_if(std::begin(fields), std::end(fields),
                                         [&name = name](const Field& known) { return known.name == name; });
        if (field != std::end(fields) && field->kind == Kind::truth) {
            if (value != "yes" && value != "no") return invalid(name, "is neither yes nor no");
            posture.*(field->truth) = value == "yes";
        } else if (field != std::end(fields)) {
            posture.*(field->text) = value;
        } else if (name == "screen") {
            posture.screen = value;
        } else if (name == "storage_bytes" || name == "storage_free_bytes" || name == "battery_percent") {
            const auto number = number_of(value);
            if (!number || (name == "battery_percent" && *number > 100))
                return invalid(name, "is not a number" + std::string(name.front() == 'b' ? " of 0 to 100" : ""));
            if (name == "storage_bytes") posture.storage_bytes = number;
            if (name == "storage_free_bytes") posture.storage_free_bytes = number;
            if (name == "battery_percent") posture.battery_percent = static_cast<std::uint8_t>(*number);
        } else {
            return invalid(base::escape_for_terminal(name, 64), "is nothing that a device says of itself");
        }
    }
    return posture;
}

Posture::Texts Posture::to_texts() const {
    Texts texts;
    const auto add = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) texts.emplace(name, value);
    };
    for (const auto& field : fields) {
        if (field.kind != Kind::truth)
            add(field.name, this->*(field.text));
        else if (const auto& truth = this->*(field.truth))
            add(field.name, *truth ? "yes" : "no");
    }
    add("screen", screen);
    if (storage_bytes) add("storage_bytes", std::to_string(*storage_bytes));
    if (storage_free_bytes) add("storage_free_bytes", std::to_string(*storage_free_bytes));
    if (battery_percent) add("battery_percent", std::to_string(*battery_percent));
    return texts;
}

std::optional<Posture> Posture::from_lines(std::string_view lines) {
    Texts texts;
    const std::string_view whole = lines;
    while (!lines.empty()) {
        const auto end = lines.find('\n');
        const auto line = lines.substr(0, end);
        const auto equals = line.find('=');
        if (end == std::string_view::npos || equals == std::string_view::npos) return std::nullopt;
        texts.emplace(line.substr(0, equals), line.substr(equals + 1));
        lines.remove_prefix(end + 1);
    }
    auto posture = from_texts(texts);
    if (!posture || posture->to_lines() != whole) return std::nullopt;
    return std::move(*posture);
}

std::string Posture::to_lines() const {
    std::string lines;
    for (const auto& [name, value] : to_texts()) lines.append(name).append("=").append(value).append("\n");
    return lines;
}

Result<PostureTest> PostureTest::parse(std::string_view text) {
    const auto refused = [&] {
        return Error{Errc::invalid_argument, in_quotes(text) + " is no condition; " + std::string(expected)};
    };
    if (!check_text("condition", text)) return refused();
    std::string_view rest = base::trimmed(text);
    const auto op_at = rest.find_first_of("=!<>");
    std::string_view name = base::trimmed(rest.substr(0, op_at));
    PostureTest test;
    if (op_at == std::string_view::npos && name.starts_with("not ")) {
        test.op_ = Op::is_not;
        name = base::trimmed(name.substr(4));
    }
    const auto* field =
        std::find_if(std::begin(fields), std::end(fields), [&](const Field& known) { return known.name == name; });
    if (field == std::end(fields)) return refused();
    test.field_ = name;
    test.index_ = static_cast<std::size_t>(field - std::begin(fields));
    if ((field->kind == Kind::truth) != (op_at == std::string_view::npos)) return refused();
    if (field->kind == Kind::truth) {
        test.value_ = "yes";
        return test;
    }

    rest.remove_prefix(op_at);
    constexpr std::pair<std::string_view, Op> operators[] = {{"!=", Op::is_not},   {"<=", Op::at_most},
                                                             {">=", Op::at_least}, {"=", Op::is},
                                                             {"<", Op::below},     {">", Op::above}};
    const auto* op = std::find_if(std::begin(operators), std::end(operators),
                                  [&](const auto& known) { return rest.starts_with(known.first); });
    if (op == std::end(operators)) return refused();
    test.op_ = op->second;
    test.value_ = base::trimmed(rest.substr(op->first.size()));
    if (test.value_.empty() || test.value_.find_first_of("=!<>") == 0) return refused();
    if (field->kind == Kind::version) {
        test.version_ = Version::parse(test.value_);
        if (!test.version_) return refused();
    } else if (test.op_ != Op::is && test.op_ != Op::is_not) {
        return refused();
    }
    // It is kept as it is said then.
    if (test.to_string().size() > text_bytes_max) return refused();
    return test;
}

std::string PostureTest::to_string() const {
    if (fields[index_].kind == Kind::truth) return (op_ == Op::is_not ? "not " : "") + field_;
    constexpr std::string_view words[] = {"=", "!=", "<", "<=", ">", ">="};
    return field_ + " " + std::string(words[static_cast<std::size_t>(op_)]) + " " + value_;
}

bool PostureTest::holds(const Posture& posture) const noexcept {
    const auto& field = fields[index_];
    if (field.kind == Kind::truth) {
        const auto& truth = posture.*(field.truth);
        return truth && *truth == (op_ == Op::is);
    }
    const std::string& said = posture.*(field.text);
    if (said.empty()) return false;
    if (field.kind == Kind::text) return (said == value_) == (op_ == Op::is);
    const auto version = Version::parse(said);
    if (!version || !version_) return false;
    switch (op_) {
        case Op::is:
            return *version == *version_;
        case Op::is_not:
            return *version != *version_;
        case Op::below:
            return *version < *version_;
        case Op::at_most:
            return *version <= *version_;
        case Op::above:
            return *version > *version_;
        case Op::at_least:
            break;
    }
    return *version >= *version_;
}

Result<Posture> posture_of(std::span<const std::string> facts) {
    Posture posture;
    for (std::size_t i = 0; i < facts.size(); ++i) {
        const std::string where = "[" + std::to_string(i) + "]";
        auto fact = PostureTest::parse(facts[i]);
        if (!fact) return Error{Errc::invalid_argument, where + ": " + fact.error().message};
        const auto& field = fields[fact->index_];
        using Op = PostureTest::Op;
        if (fact->op_ != Op::is && (field.kind != Kind::truth || fact->op_ != Op::is_not))
            return Error{Errc::invalid_argument, where + ": " + in_quotes(facts[i]) +
                                                     " says what something is not; expected what it is, with ="};
        const bool twice =
            field.kind == Kind::truth ? (posture.*(field.truth)).has_value() : !(posture.*(field.text)).empty();
        if (twice) return Error{Errc::invalid_argument, where + ": " + std::string(field.name) + " is said twice"};
        if (field.kind == Kind::truth)
            posture.*(field.truth) = fact->op_ == Op::is;
        else
            posture.*(field.text) = fact->value_;
    }
    return posture;
}

std::vector<std::string> facts_of(const Posture& posture) {
    std::vector<std::string> facts;
    for (const auto& field : fields) {
        if (field.kind != Kind::truth) {
            if (const auto& text = posture.*(field.text); !text.empty())
                facts.push_back(std::string(field.name) + " = " + text);
        } else if (const auto& truth = posture.*(field.truth)) {
            facts.push_back((*truth ? "" : "not ") + std::string(field.name));
        }
    }
    return facts;
}

}  // namespace usher::auth
