#pragma once
#include <string>

#include "auth/model.hpp"

/// The rendering of accounts, apps and policies in the record of administrative acts: one JSON object, every field, in
/// a fixed order, times in RFC 3339. Nothing secret can be in it, because nothing secret is in the model. Pure.
namespace usher::auth {

std::string to_json(const Account& account);
std::string to_json(const App& app);
std::string to_json(const Policy& policy);
std::string to_json(const Department& department);

}  // namespace usher::auth
