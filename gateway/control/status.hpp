#pragma once
#include <grpcpp/support/status.h>

#include <string_view>

#include "base/result.hpp"

namespace usher::gateway::control {

/// The status that a caller gets. What is wrong with the request is told as it is; of what is wrong with the gateway
/// the caller learns a fixed sentence, and the operator's log the rest, under `what` ("account.create").
grpc::Status to_status(const base::Error& error, std::string_view what);

/// The refusals, with no detail.
grpc::Status unauthenticated();
grpc::Status permission_denied();
grpc::Status overloaded();
grpc::Status stopping();
grpc::Status internal_error();

}  // namespace usher::gateway::control
