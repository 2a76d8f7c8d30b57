#include "auth/posture.hpp"

#include <charconv>

#include "auth/posture_fields.hpp"
#include "auth/validate.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Error;
using base::Result;

Error invalid(std::string_view field, const std::string& problem) {
    return {Errc::invalid_argument, std::string(field) + ": " + problem};
}

constexpr std::string Posture::*names_said[] = {&Posture::device_name, &Posture::brand, &Posture::model,
                                                &Posture::os_name, &Posture::language};

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

std::optional<std::uint64_t> posture_number(std::string_view text, PostureKind kind) noexcept {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool good = error == std::errc() && end == text.data() + text.size() &&
                      number <= (kind == PostureKind::percent ? 100 : INT64_MAX) &&
                      (text.size() == 1 || text.front() != '0');
    return good ? std::optional(number) : std::nullopt;
}

Result<Posture> Posture::from_texts(const Texts& texts) {
    Posture posture;
    for (const auto& [name, value] : texts) {
        if (auto ok = check_text(name, value); !ok) return ok.error();
        if (value.empty()) return invalid(name, "is empty; what is not known is left out");
        const auto* field = find_posture_field(name);
        if (field == nullptr)
            return invalid(base::escape_for_terminal(name, 64), "is nothing that a device says of itself");
        if (field->kind == PostureKind::truth) {
            if (value != "yes" && value != "no") return invalid(name, "is neither yes nor no");
            posture.*(field->truth) = value == "yes";
        } else if (field->is_number()) {
            posture.*(field->number) = posture_number(value, field->kind);
            if (!(posture.*(field->number)))
                return invalid(name,
                               field->kind == PostureKind::percent ? "is not a number of 0 to 100" : "is not a number");
        } else {
            posture.*(field->text) = value;
        }
    }
    return posture;
}

Posture::Texts Posture::to_texts() const {
    Texts texts;
    for (const auto& field : posture_fields) {
        if (field.kind == PostureKind::truth) {
            if (const auto& truth = this->*(field.truth)) texts.emplace(field.name, *truth ? "yes" : "no");
        } else if (field.is_number()) {
            if (const auto& number = this->*(field.number)) texts.emplace(field.name, std::to_string(*number));
        } else if (const auto& text = this->*(field.text); !text.empty()) {
            texts.emplace(field.name, text);
        }
    }
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

void Posture::take_names(const Posture& other) {
    for (const auto name : names_said) this->*name = other.*name;
}

Posture Posture::names() const {
    Posture alone;
    alone.take_names(*this);
    return alone;
}

Posture Posture::without_names() const {
    Posture rest = *this;
    rest.take_names({});
    return rest;
}

std::string Posture::to_lines() const {
    std::string lines;
    for (const auto& [name, value] : to_texts()) lines.append(name).append("=").append(value).append("\n");
    return lines;
}

}  // namespace usher::auth
