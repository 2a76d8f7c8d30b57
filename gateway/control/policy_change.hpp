#pragma once
#include "audit/store.hpp"
#include "auth/directory.hpp"
#include "base/result.hpp"
#include "usher/v1/resource.pb.h"

/// What a change of apps and policies would mean. Nothing is changed.
namespace usher::gateway::control {

/// One page of who would gain and who would lose which app. `now`: whose validity is over then has nothing to lose.
/// Takes half a second at most; a page may therefore be empty although more follow.
base::Result<void> diff_policies(const auth::Snapshot& directory, base::UtcTime now,
                                 const usher::v1::DiffPoliciesRequest& request,
                                 usher::v1::DiffPoliciesResponse& response);

/// One page of the accesses on record that would be decided otherwise: of so many accesses as take about 0.2 s.
base::Result<void> replay_policies(const auth::Snapshot& directory, audit::Store& store, base::UtcTime now,
                                   const usher::v1::ReplayPoliciesRequest& request,
                                   usher::v1::ReplayPoliciesResponse& response);

}  // namespace usher::gateway::control
