#include "auth/posture.hpp"
#include "auth/posture_fields.hpp"
#include "auth/validate.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using Kind = PostureKind;

constexpr std::string_view expected =
    "expected disk_encrypted, firewall or screen_lock, as it is or behind \"not\"; os_version or agent_version with =, "
    "!=, <, <=, > or >= and a version such as 12.4; storage_bytes or storage_free_bytes likewise with a number or a "
    "size such as 20GiB, battery_percent with a number of 0 to 100; or os, os_name, device_name, device_uid, brand, "
    "model, language, network_type, screen or time_zone with = or != and a text";

std::string in_quotes(std::string_view text) { return "'" + base::escape_for_terminal(text, 100) + "'"; }

/// "20GiB" as well, where it is one of bytes.
std::optional<std::uint64_t> asked_number(std::string_view text, Kind kind) noexcept {
    if (const auto number = posture_number(text, kind); number || kind != Kind::size) return number;
    const auto size = text.starts_with('0') ? std::nullopt : base::parse_byte_size(text);
    return size && *size <= INT64_MAX ? size : std::nullopt;
}

}  // namespace

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
    const auto* field = find_posture_field(name);
    if (field == nullptr) return refused();
    test.field_ = name;
    test.index_ = static_cast<std::size_t>(field - std::begin(posture_fields));
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
    } else if (field->is_number()) {
        test.number_ = asked_number(test.value_, field->kind);
        if (!test.number_) return refused();
    } else if (test.op_ != Op::is && test.op_ != Op::is_not) {
        return refused();
    }
    // It is kept as it is said then.
    if (test.to_string().size() > text_bytes_max) return refused();
    return test;
}

std::string PostureTest::to_string() const {
    if (posture_fields[index_].kind == Kind::truth) return (op_ == Op::is_not ? "not " : "") + field_;
    constexpr std::string_view words[] = {"=", "!=", "<", "<=", ">", ">="};
    return field_ + " " + std::string(words[static_cast<std::size_t>(op_)]) + " " + value_;
}

template <class Value>
bool PostureTest::compares(const Value& said, const Value& asked) const noexcept {
    switch (op_) {
        case Op::is:
            return said == asked;
        case Op::is_not:
            return said != asked;
        case Op::below:
            return said < asked;
        case Op::at_most:
            return said <= asked;
        case Op::above:
            return said > asked;
        case Op::at_least:
            break;
    }
    return said >= asked;
}

bool PostureTest::holds(const Posture& posture) const noexcept {
    const auto& field = posture_fields[index_];
    if (field.kind == Kind::truth) {
        const auto& truth = posture.*(field.truth);
        return truth && *truth == (op_ == Op::is);
    }
    if (field.is_number()) {
        const auto& number = posture.*(field.number);
        return number && number_ && compares(*number, *number_);
    }
    const std::string& said = posture.*(field.text);
    if (said.empty()) return false;
    if (field.kind == Kind::text) return compares(said, value_);
    const auto version = Version::parse(said);
    return version && version_ && compares(*version, *version_);
}

Result<Posture> posture_of(std::span<const std::string> facts) {
    Posture posture;
    for (std::size_t i = 0; i < facts.size(); ++i) {
        const std::string where = "[" + std::to_string(i) + "]";
        auto fact = PostureTest::parse(facts[i]);
        if (!fact) return Error{Errc::invalid_argument, where + ": " + fact.error().message};
        const auto& field = posture_fields[fact->index_];
        using Op = PostureTest::Op;
        if (fact->op_ != Op::is && (field.kind != Kind::truth || fact->op_ != Op::is_not))
            return Error{Errc::invalid_argument, where + ": " + in_quotes(facts[i]) +
                                                     " says what something is not; expected what it is, with ="};
        const bool twice = field.kind == Kind::truth ? (posture.*(field.truth)).has_value()
                           : field.is_number()       ? (posture.*(field.number)).has_value()
                                                     : !(posture.*(field.text)).empty();
        if (twice) return Error{Errc::invalid_argument, where + ": " + std::string(field.name) + " is said twice"};
        if (field.kind == Kind::truth)
            posture.*(field.truth) = fact->op_ == Op::is;
        else if (field.is_number())
            posture.*(field.number) = fact->number_;
        else
            posture.*(field.text) = fact->value_;
    }
    return posture;
}

std::vector<std::string> facts_of(const Posture& posture) {
    std::vector<std::string> facts;
    for (const auto& [name, value] : posture.to_texts()) {
        if (find_posture_field(name)->kind == Kind::truth)
            facts.push_back((value == "yes" ? "" : "not ") + name);
        else
            facts.push_back(name + " = " + value);
    }
    return facts;
}

}  // namespace usher::auth
