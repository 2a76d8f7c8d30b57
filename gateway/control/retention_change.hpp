#pragma once
#include <functional>
#include <span>
#include <string>

#include "audit/retention_store.hpp"
#include "base/result.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/caller.hpp"
#include "gateway/control/two_person.hpp"

namespace usher::gateway::control {

/// One call of the retention store that changes what is kept, and asks `record` about each change within its
/// transaction.
using ChangeRetention = std::function<base::Result<void>(const audit::RecordRetention& record)>;

/// Carries out `whole`, on record. Where two administrators are required (`two_person` is not null), what it would
/// change of a class or hold that is there is found out first, from `parts`, each of which makes at most one change and
/// is broken off before it does; that takes an order with a second person. What is then met in the transaction must be
/// just what they have seen: failed_precondition otherwise. Errors are the store's, the journal's and approve()'s.
base::Result<void> change_retention(TwoPerson* two_person, const Caller& caller, AdminRecorder& recorder,
                                    std::span<const ChangeRetention> parts, const ChangeRetention& whole);

}  // namespace usher::gateway::control
