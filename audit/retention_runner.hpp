#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "audit/journal/journal.hpp"
#include "audit/retention_store.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace usher::audit {

/// Who asked for a run, as it goes on record.
struct RetentionActor {
    std::string name, account_id, session_id;
};
/// The gateway itself: the daily run.
inline const RetentionActor retention_gateway{"gateway", {}, {}};

/// Carries runs out on a thread of its own, one at a time: the daily one and those that are asked for. Before anything
/// goes, the plan is in the journal as "retention.run"; what went follows as "retention.removed". A run that the guard
/// objects to is on record as FAILED, in the log as an error and in on_end, and removes nothing. Of gateways that share
/// a database one runs at a time, by a lease that each batch prolongs.
class RetentionRunner {
public:
    struct Options {
        base::Microseconds first_after{60'000'000};  ///< since the start, and between looks whether a run is due
        base::Microseconds every{86'400'000'000};    ///< between daily runs
        base::Microseconds retry{3'600'000'000};     ///< after a daily run that failed
        std::size_t batch_records = 5000;
        base::Microseconds lease = RetentionStore::lease_default;
        /// Told of each batch, on the runner's thread. Must not block and must not throw, as the next one.
        std::function<void(RetentionClass, std::uint64_t removed)> on_removed{};
        /// Told when a run has ended or was not begun; on any thread.
        std::function<void(const RetentionRun&)> on_end{};
    };

    /// All of them outlive the runner.
    RetentionRunner(Journal& journal, base::sql::Database& database, const base::Clock& clock, Options options);
    ~RetentionRunner();
    RetentionRunner(const RetentionRunner&) = delete;
    RetentionRunner& operator=(const RetentionRunner&) = delete;

    /// What a run would do now; `reason` says what the guard would object to. Reads only.
    base::Result<RetentionRun> preview();
    /// Plans a run and begins it; returns before it has ended (running), when there was nothing to do (complete) or
    /// when the guard objects and it was not `confirmed` (stopped). While another run is under way:
    /// failed_precondition.
    base::Result<RetentionRun> run(const RetentionActor& actor, bool confirmed);

    RetentionStore& store() noexcept { return store_; }

    /// Ends a run behind the batch that is under way (interrupted) and begins no other. Idempotent.
    void stop();

private:
    struct Job {
        RetentionRun run;
        RetentionActor actor;
    };
    void work();
    void look();
    void carry_out(Job job);
    void drop_days(RetentionRun& run);
    void count(RetentionRun& run, RetentionClass retention_class, std::uint64_t removed);
    base::Result<void> on_record(const RetentionActor& actor, std::string action, const RetentionRun& run, bool failed);
    bool stopping() const;

    Journal& journal_;
    base::sql::Database& database_;
    RetentionStore store_;
    std::optional<std::int64_t> prepared_on_;  ///< the day on which the days to come were made; work()'s own
    const base::Clock& clock_;
    const Options options_;
    std::mutex planning_;  ///< one plan at a time; taken before mutex_
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    bool busy_ = false;  ///< from the plan of a run to its end
    std::optional<Job> job_;
    base::MonoTime next_look_;
    bool failing_ = false;
    std::thread thread_;
};

}  // namespace usher::audit
