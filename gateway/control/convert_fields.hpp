#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "auth/model.hpp"
#include "base/result.hpp"
#include "base/text.hpp"
#include "usher/v1/account.pb.h"
#include "usher/v1/device.pb.h"

/// How the conversions of the API name fields and read what several messages have in common.
namespace usher::gateway::control {

inline std::string quoted(std::string_view value) { return "'" + base::escape_for_terminal(value, 100) + "'"; }

inline base::Error invalid(std::string_view field, std::string_view problem) {
    return {base::Errc::invalid_argument, std::string(field).append(": ").append(problem)};
}

inline std::string indexed(std::string_view field, int index) {
    return std::string(field) + "[" + std::to_string(index) + "]";
}

template <class Repeated>
std::vector<std::string> texts(const Repeated& field) {
    return {field.begin(), field.end()};
}

usher::v1::Role::Value to_proto(auth::Role role);
base::Result<auth::Role> from_proto(usher::v1::Role::Value role, std::string_view field);

usher::v1::EnrolledDevice::State::Value to_proto(auth::DeviceState state);
/// invalid_argument for UNSPECIFIED and what is none, naming `field`.
base::Result<auth::DeviceState> from_proto(usher::v1::EnrolledDevice::State::Value state, std::string_view field);

}  // namespace usher::gateway::control
