#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "audit/days.hpp"
#include "audit/hold.hpp"
#include "audit/retention.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"

namespace usher::audit {

/// An act that changes what is kept, as it goes on record before it is committed.
struct RetentionChange {
    std::string action, resource, before_json, after_json;
};
/// An error means that it must not be done. May be called again with an equal change when a transaction runs again.
using RecordRetention = std::function<base::Result<void>(const RetentionChange&)>;

enum class RetentionOutcome { created, updated, unchanged };
using RetentionResource = std::variant<RetentionSetting, Hold>;

struct RetentionRun {
    enum class State { running, complete, stopped, interrupted, failed, preview };
    struct Count {
        ClassPlan plan;
        std::uint64_t removed = 0;
    };
    struct Held {
        std::string hold;
        std::uint64_t records = 0;
    };
    std::int64_t run = 0;  ///< from 1; 0: a preview
    State state = State::preview;
    std::string requested_by;
    base::UtcTime started_at{};
    std::optional<base::UtcTime> ended_at;
    std::vector<Count> counts;  ///< one a class
    std::vector<Held> holds;    ///< what each would keep of what is past its ceiling; only of a plan that was just made
    std::string reason;

    /// What of a plan lies where; only of one that was just made.
    struct Share {
        RecordType type{};
        Part part;
        std::uint64_t removable = 0, held = 0;
    };
    std::vector<Share> shares;
    std::vector<Hold> planned_with;  ///< the holds that were asked
};
std::string_view to_word(RetentionRun::State state) noexcept;

/// What is said of another gateway's run.
inline std::string under_way(const std::string& gateway) {
    return "a run of retention is under way at gateway " + gateway + "; 'retention status' shows it";
}

/// What is kept and how long, and the removal of what is not, in the audit store's database. Blocking; thread-safe as
/// the Database is. Errors are the database's unless a function says otherwise; stored values that cannot be are
/// data_loss, and nothing is removed on them.
class RetentionStore {
public:
    static constexpr std::size_t holds_max = 1000;

    /// How long a run that is under way counts as alive after its last batch, by the database's clock.
    static constexpr base::Microseconds lease_default{120'000'000};

    /// `gateway`: whose runs it begins. Gateways that share the database run one at a time.
    explicit RetentionStore(base::sql::Database& database, const base::Uuid& gateway = {},
                            base::Microseconds lease = lease_default)
        : database_(database), gateway_(gateway), lease_(lease) {}

    struct Stored {
        RetentionSetting setting;
        std::optional<base::UtcTime> updated_at;  ///< nullopt: the built-in values
    };
    /// All classes, in the order of retention_classes.
    base::Result<std::vector<Stored>> classes();
    /// By name.
    base::Result<std::vector<Hold>> holds();

    /// All or none. `actor` and `now` are what a new hold was created by and when. A resource that validate() refuses,
    /// or that is named twice, is invalid_argument and begins with "resources[N]."; more than holds_max holds are
    /// failed_precondition.
    base::Result<std::vector<RetentionOutcome>> apply(const std::vector<RetentionResource>& resources,
                                                      const std::string& actor, base::UtcTime now,
                                                      const RecordRetention& record);
    /// not_found where there is none of that name.
    base::Result<void> delete_hold(const std::string& name, const RecordRetention& record);
    /// Puts the built-in values back; nothing happens where they are.
    base::Result<void> reset_class(RetentionClass retention_class, const RecordRetention& record);

    /// What a run at `now` would do, with the class's cut-offs; reads in pages, and gives up with unavailable when
    /// `stopping` says so. `holds` of the answer counts what each hold keeps.
    base::Result<RetentionRun> plan(base::UtcTime now, const std::function<bool()>& stopping);

    /// Keeps the run and gives it its number. One that is to run takes the lease: failed_precondition while another
    /// gateway's run lives; one of this gateway's that is still there, and any whose lease is over, end as interrupted.
    base::Result<void> begin(RetentionRun& run);
    /// Its end, unless another gateway has taken it for dead; counts come from the rows that remove() kept.
    base::Result<void> end(const RetentionRun& run);
    /// Runs that a crash left running end as interrupted: those of this gateway, and those whose lease is over.
    base::Result<void> end_interrupted(base::UtcTime now);
    /// The gateway whose run lives, if it is another one.
    base::Result<std::optional<std::string>> running_elsewhere();
    /// The newest first.
    base::Result<std::vector<RetentionRun>> runs(std::size_t limit);
    /// Whether a run of `requested_by` that was complete or stopped began in (after, until].
    base::Result<bool> ran_between(const std::string& requested_by, base::UtcTime after, base::UtcTime until);

    /// Where the removal of one run has got to.
    struct Progress {
        std::size_t share = 0;  ///< index into the run's shares
        std::int64_t recorded_at = INT64_MIN;
        std::string gateway_id;
        std::int64_t sequence = 0;
        bool done = false;
        std::uint64_t removed = 0;  ///< by the last batch
        RetentionClass retention_class{};
    };
    /// The days that may be dropped whole: drop_day() looks closer. None on SQLite.
    base::Result<std::vector<std::int64_t>> days_to_drop(const RetentionRun& run);
    using Removed = std::map<RetentionClass, std::uint64_t>;
    /// Drops the tables of a day and counts what was in them in the run, in one transaction that also prolongs the
    /// lease (failed_precondition where it is lost), if every record in it may go: over before its class's cut-off, no
    /// access still open, no hold that the plan found there or did not know. What has gone is taken out of the run's
    /// shares. nullopt: not so, remove() takes what may go. Inserts of that day alone wait while it is looked at; for
    /// the drop itself they wait for no longer than 2 s, after which it is given up (unavailable).
    base::Result<std::optional<Removed>> drop_day(RetentionRun& run, std::int64_t day);
    /// Removes at most `batch_records` records with all their events and rows, in one transaction that also counts them
    /// in the run and prolongs its lease (failed_precondition, and nothing is done, where another gateway has taken the
    /// run for dead); looks at no more than so many. Killed before its commit it has done nothing, and the next run
    /// does the rest.
    base::Result<void> remove(const RetentionRun& run, std::size_t batch_records, Progress& progress);

private:
    base::Result<void> plan_share(RetentionRun& run, RetentionRun::Share& share, ClassPlan& plan,
                                  const std::function<bool()>& stopping);
    base::Result<Volume> volume(RetentionClass retention_class, const std::vector<RetentionRun::Share>& shares);

    void end_dead(base::sql::Transaction& tx, base::UtcTime now) const;
    base::Result<void> keep_lease(base::sql::Transaction& tx, const RetentionRun& run) const;

    base::sql::Database& database_;
    const base::Uuid gateway_;
    const base::Microseconds lease_;
};

}  // namespace usher::audit
