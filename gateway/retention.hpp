#pragma once
#include <memory>

#include "audit/retention_runner.hpp"
#include "gateway/metrics.hpp"

namespace usher::gateway {

/// The runner of a gateway: daily, and told to `metrics`. All of them outlive it.
std::unique_ptr<audit::RetentionRunner> start_retention(audit::Journal& journal, base::sql::Database& database,
                                                        const base::Clock& clock, Metrics& metrics);

}  // namespace usher::gateway
