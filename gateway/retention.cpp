#include "gateway/retention.hpp"

namespace usher::gateway {

std::unique_ptr<audit::RetentionRunner> start_retention(audit::Journal& journal, base::sql::Database& database,
                                                        const base::Clock& clock, Metrics& metrics) {
    using State = audit::RetentionRun::State;
    audit::RetentionRunner::Options options;
    options.on_removed = [&metrics](audit::RetentionClass retention_class, std::uint64_t records) {
        metrics.retention_removed(audit::to_word(retention_class), records);
    };
    options.on_end = [&metrics](const audit::RetentionRun& run) {
        metrics.retention_attention.Set(run.state == State::stopped || run.state == State::failed ? 1 : 0);
        if (run.state == State::complete && run.ended_at)
            metrics.retention_completed_timestamp.Set(static_cast<double>(base::to_micros(*run.ended_at)) / 1e6);
    };
    for (const auto each : audit::retention_classes) metrics.retention_removed(audit::to_word(each), 0);
    return std::make_unique<audit::RetentionRunner>(journal, database, clock, std::move(options));
}

}  // namespace usher::gateway
