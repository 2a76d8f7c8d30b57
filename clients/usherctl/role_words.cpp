#include "clients/usherctl/role_words.hpp"

#include <array>
#include <utility>

namespace usher::clients::control {
namespace {

using usher::v1::Role;

constexpr std::array<std::pair<Role::Value, std::string_view>, 4> words = {{{Role::EMPLOYEE, "employee"},
                                                                            {Role::AUDITOR, "auditor"},
                                                                            {Role::PRIVACY_OFFICER, "privacy-officer"},
                                                                            {Role::ADMINISTRATOR, "administrator"}}};

}  // namespace

std::string role_word(Role::Value role) {
    for (const auto& [value, word] : words)
        if (value == role) return std::string(word);
    return {};
}

std::optional<Role::Value> role_from_word(std::string_view text) {
    for (const auto& [value, word] : words)
        if (word == text) return value;
    return std::nullopt;
}

std::vector<std::string> all_role_words() {
    std::vector<std::string> out;
    for (const auto& [value, word] : words) out.emplace_back(word);
    return out;
}

std::string role_words() {
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i)
        out.append(i == 0 ? "" : i + 1 == words.size() ? " or " : ", ").append(words[i].second);
    return out;
}

}  // namespace usher::clients::control
