#include "audit/retention_runner.hpp"

#include <pthread.h>

#include <algorithm>

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace usher::audit {

using base::Errc;
using base::Result;
using State = RetentionRun::State;

namespace {

/// The clock may be a test's: a wait ends by itself, and the clock is asked again.
constexpr std::chrono::seconds wait_max{1};

std::string json_of(const RetentionRun& run) {
    std::string out = "{\"run\":" + std::to_string(run.run) + ",\"state\":" + base::json_quote(to_word(run.state));
    for (const auto& [plan, removed] : run.counts) {
        if (!plan.cutoff) continue;
        out += "," + base::json_quote(to_word(plan.retention_class)) +
               ":{\"cutoff\":" + base::json_quote(base::format_rfc3339(*plan.cutoff)) +
               ",\"removable\":" + std::to_string(plan.removable) + ",\"held\":" + std::to_string(plan.held) +
               ",\"removed\":" + std::to_string(removed) + "}";
    }
    return out + "}";
}

/// All objections, one sentence each.
std::string objections(const RetentionRun& run) {
    std::string out;
    for (const auto& count : run.counts)
        if (auto why = objection(count.plan)) out += (out.empty() ? "" : "; ") + *why;
    return out;
}

bool has_nothing_to_do(const RetentionRun& run) {
    return std::all_of(run.counts.begin(), run.counts.end(),
                       [](const auto& count) { return count.plan.removable == 0; });
}

}  // namespace

RetentionRunner::RetentionRunner(Journal& journal, base::sql::Database& database, const base::Clock& clock,
                                 Options options)
    : journal_(journal),
      database_(database),
      store_(database, journal.gateway_id(), options.lease),
      clock_(clock),
      options_(std::move(options)),
      next_look_(clock.mono() + options_.first_after),
      thread_([this] {
          pthread_setname_np(pthread_self(), "retention");
          work();
      }) {}

RetentionRunner::~RetentionRunner() { stop(); }

void RetentionRunner::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

bool RetentionRunner::stopping() const {
    std::lock_guard lock(mutex_);
    return stopping_;
}

Result<RetentionRun> RetentionRunner::preview() {
    auto plan = store_.plan(clock_.utc(), [this] { return stopping(); });
    if (plan) plan->reason = objections(*plan);
    return plan;
}

Result<RetentionRun> RetentionRunner::run(const RetentionActor& actor, bool confirmed) {
    std::lock_guard planning(planning_);
    {
        std::lock_guard lock(mutex_);
        if (stopping_) return {Errc::unavailable, "the gateway is stopping"};
        if (busy_)
            return {Errc::failed_precondition, "another run of retention is under way; 'retention status' shows it"};
    }
    auto elsewhere = store_.running_elsewhere();
    if (!elsewhere) return std::move(elsewhere).error();
    if (*elsewhere) return {Errc::failed_precondition, under_way(**elsewhere)};
    auto planned = preview();
    if (!planned) return planned;
    auto& run = *planned;
    run.requested_by = actor.name;
    const bool objected = !run.reason.empty();
    run.state = objected && !confirmed ? State::stopped : has_nothing_to_do(run) ? State::complete : State::running;
    if (run.state != State::running) run.ended_at = clock_.utc();

    // The record comes first: what is not on record does not go.
    if (auto ok = on_record(actor, "retention.run", run, run.state == State::stopped); !ok)
        return std::move(ok).error();
    if (auto begun = store_.begin(run); !begun) {
        run.reason = "it could not be begun";
        if (auto ok = on_record(actor, "retention.run", run, true); !ok)
            base::log_error("a run of retention that failed could not be recorded", {{"error", ok.error().message}});
        return std::move(begun).error();
    }
    if (run.state == State::stopped)
        base::log_error(
            "retention removed nothing: a person must look at it, and may confirm it with 'usherctl "
            "retention run --confirm'; is the clock right?",
            {{"reason", run.reason}, {"run", run.run}});
    if (run.state == State::running) {
        std::lock_guard lock(mutex_);
        busy_ = true;
        job_ = Job{run, actor};
        wake_.notify_all();
    } else if (options_.on_end) {
        options_.on_end(run);
    }
    return planned;
}

void RetentionRunner::work() {
    std::unique_lock lock(mutex_);
    while (!stopping_ || job_) {
        if (job_) {
            auto job = std::move(*job_);
            job_.reset();
            lock.unlock();
            carry_out(std::move(job));
            lock.lock();
            busy_ = false;
            continue;
        }
        if (clock_.mono() >= next_look_) {
            lock.unlock();
            look();
            lock.lock();
            continue;
        }
        const std::chrono::microseconds left = next_look_ - clock_.mono();
        wake_.wait_for(lock, std::min<std::chrono::microseconds>(left, wait_max),
                       [this] { return stopping_ || job_.has_value(); });
    }
}

/// Whether the daily run is due. Only wall times are stored: a clock that is wrong at most makes one run more, which
/// the guard judges as any other.
void RetentionRunner::look() {
    const auto now = clock_.utc();
    const auto failed = [&](const base::Error& error) {
        if (!failing_) base::log_error("the daily run of retention failed", {{"error", error.message}});
        failing_ = true;
        next_look_ = clock_.mono() + options_.retry;
    };
    next_look_ = clock_.mono() + options_.first_after;
    if (const auto today = day_of(base::to_micros(now)); prepared_on_ != today) {
        if (auto prepared = prepare_days(database_, now)) {
            prepared_on_ = today;
        } else {
            // Nothing is lost by it: what has no day is among the strays until it has. The next look tries again.
            base::log_warning("tables for the days to come could not be made", {{"error", prepared.error().message}});
        }
    }
    {
        // A run that is being planned or carried out is left alone.
        std::unique_lock planning(planning_, std::try_to_lock);
        if (!planning.owns_lock()) return;
        {
            std::lock_guard lock(mutex_);
            if (busy_) return;
        }
        if (auto ended = store_.end_interrupted(now); !ended) return failed(ended.error());
    }
    const auto ran = store_.ran_between(retention_gateway.name, now - options_.every, now);
    if (!ran) return failed(ran.error());
    if (*ran) return;
    auto begun = run(retention_gateway, false);
    if (!begun && begun.error().code == Errc::failed_precondition) return;  // somebody else's is under way
    if (!begun) return failed(begun.error());
    failing_ = false;
}

void RetentionRunner::count(RetentionRun& run, RetentionClass retention_class, std::uint64_t removed) {
    for (auto& each : run.counts)
        if (each.plan.retention_class == retention_class) each.removed += removed;
    if (options_.on_removed && removed > 0) options_.on_removed(retention_class, removed);
}

/// What stays, for whatever reason, is left to the batches.
void RetentionRunner::drop_days(RetentionRun& run) {
    const auto days = store_.days_to_drop(run);
    if (!days) {
        base::log_warning("the days to drop are not known; their records go one by one",
                          {{"run", run.run}, {"error", days.error().message}});
        return;
    }
    for (const auto day : *days) {
        if (stopping()) {
            run.state = State::interrupted;
            return;
        }
        const auto dropped = store_.drop_day(run, day);
        if (!dropped) {
            base::log_warning("a day could not be dropped; its records go one by one",
                              {{"run", run.run}, {"day", day}, {"error", dropped.error().message}});
            continue;
        }
        if (!*dropped) continue;
        for (const auto& [retention_class, removed] : **dropped) count(run, retention_class, removed);
    }
}

void RetentionRunner::carry_out(Job job) {
    auto& run = job.run;
    run.state = State::complete;
    drop_days(run);
    for (RetentionStore::Progress progress; run.state == State::complete && !progress.done;) {
        if (stopping()) {
            run.state = State::interrupted;
            break;
        }
        auto removed = store_.remove(run, options_.batch_records, progress);
        if (!removed) {
            run.state = State::failed;
            // The operator's log has the text; whoever reads the status gets the kind of it.
            run.reason = removed.error().code == Errc::failed_precondition
                             ? removed.error().message
                             : "the database failed; what is left goes with the next run";
            base::log_error("a run of retention failed", {{"run", run.run}, {"error", removed.error().message}});
            break;
        }
        if (!progress.done) count(run, progress.retention_class, progress.removed);
    }
    run.ended_at = clock_.utc();
    if (auto ok = on_record(job.actor, "retention.removed", run, run.state == State::failed); !ok)
        base::log_error("what retention removed could not be recorded",
                        {{"run", run.run}, {"error", ok.error().message}});
    // A row that still says running is put right by the next look.
    if (auto ended = store_.end(run); !ended)
        base::log_error("the end of a run of retention could not be stored",
                        {{"run", run.run}, {"error", ended.error().message}});
    std::uint64_t removed = 0, held = 0;
    for (const auto& count : run.counts) removed += count.removed, held += count.plan.held;
    base::log_info("a run of retention has ended",
                   {{"run", run.run}, {"state", to_word(run.state)}, {"removed", removed}, {"held", held}});
    if (options_.on_end) options_.on_end(run);
}

Result<void> RetentionRunner::on_record(const RetentionActor& actor, std::string action, const RetentionRun& run,
                                        bool failed) {
    usher::v1::AdminRecord record;
    record.set_actor(actor.name);
    record.set_actor_account_id(actor.account_id);
    record.set_actor_session_id(actor.session_id);
    record.set_action(std::move(action));
    record.set_resource("retention");
    record.set_after_json(json_of(run));
    record.set_outcome(failed ? usher::v1::AdminRecord::Outcome::FAILED : usher::v1::AdminRecord::Outcome::DONE);
    record.set_detail(run.reason);
    auto durable = journal_.append_and_wait(encode(record));
    if (!durable) return std::move(durable).error();
    return {};
}

}  // namespace usher::audit
