#pragma once
#include "audit/store.hpp"
#include "base/result.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/two_person.hpp"
#include "usher/v1/audit.pb.h"

/// The API's calls about records that the store refused. Blocking. Errors are the store's, invalid_argument names the
/// field.
namespace usher::gateway::control {

base::Result<void> list_parked(audit::Store& store, const usher::v1::ListParkedRecordsRequest& request,
                               usher::v1::ListParkedRecordsResponse& response);
base::Result<void> get_parked(audit::Store& store, const usher::v1::GetParkedRecordRequest& request,
                              usher::v1::ParkedRecord& response);
/// On record before anything is tried. One transaction a record: what is still refused keeps nothing else back.
base::Result<void> retry_parked(audit::Store& store, AdminRecorder& recorder,
                                const usher::v1::RetryParkedRecordsRequest& request,
                                usher::v1::RetryParkedRecordsResponse& response);

/// What is to be discarded, and why; not_found, or invalid_argument for a reason that cannot go on record.
base::Result<TwoPerson::Order> discard_order(audit::Store& store, const usher::v1::DiscardParkedRecordRequest& request);
/// On record, with the reason, before it is gone. For a request that discard_order() has let through.
base::Result<void> discard_parked(audit::Store& store, AdminRecorder& recorder,
                                  const usher::v1::DiscardParkedRecordRequest& request);

}  // namespace usher::gateway::control
