#pragma once
#include <vector>

#include "audit/pending_orders.hpp"
#include "audit/retention_store.hpp"
#include "base/result.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "usher/v1/resource.pb.h"
#include "usher/v1/retention.pb.h"

/// Between the API's messages and the audit store's retention. Pure, but for recording().
namespace usher::gateway::control {

usher::v1::RetentionClass to_proto(const audit::RetentionStore::Stored& stored);
usher::v1::Hold to_proto(const audit::Hold& hold);
usher::v1::RetentionRun to_proto(const audit::RetentionRun& run);
usher::v1::PendingOrder to_proto(const audit::PendingOrder& order);

/// Whether the first resource is a class or a hold; the others must then be so too.
bool is_retention(const usher::v1::ApplyRequest& request);
/// Errors begin with "resources[N]".
base::Result<std::vector<audit::RetentionResource>> read_retention(const usher::v1::ApplyRequest& request);
usher::v1::ApplyResponse::Item to_item(const audit::RetentionResource& resource, audit::RetentionOutcome outcome);

/// Records changes as the retention store takes it. Refers to the recorder.
audit::RecordRetention recording(AdminRecorder& recorder);

}  // namespace usher::gateway::control
