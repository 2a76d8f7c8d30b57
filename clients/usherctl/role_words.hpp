#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "usher/v1/account.pb.h"

/// Roles as people and files write them: "employee", "auditor", "privacy-officer", "administrator".
namespace usher::clients::control {

/// Empty for a role that is none of them.
std::string role_word(usher::v1::Role::Value role);
std::optional<usher::v1::Role::Value> role_from_word(std::string_view word);
/// All of them.
std::vector<std::string> all_role_words();
/// "employee, auditor, privacy-officer or administrator".
std::string role_words();

}  // namespace usher::clients::control
