#pragma once
#include "auth/directory.hpp"
#include "gateway/control/unary.hpp"
#include "usher/v1/account.pb.h"

namespace usher::gateway::control {

/// How long the store may take to say what is open at other gateways; the answer does not wait longer.
inline constexpr base::Microseconds preview_limit{1'000'000};

/// Says what goes with an account of the snapshot: what this gateway knows, and what the store says of the others, or
/// that it does not. Does not wait for the store, and calls `finish` when there is something to say.
void preview_deletion(const ServiceContext& context, const auth::DirectorySnapshot& directory,
                      const auth::Account& account, usher::v1::PreviewAccountDeletionResponse& response,
                      const Finish& finish);

}  // namespace usher::gateway::control
