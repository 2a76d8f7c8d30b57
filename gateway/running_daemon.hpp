#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "audit/audit.hpp"
#include "audit/retention_runner.hpp"
#include "audit/sinks/sinks.hpp"
#include "audit/store.hpp"
#include "auth/devices.hpp"
#include "auth/directory.hpp"
#include "auth/second_factor.hpp"
#include "base/sql/database.hpp"
#include "gateway/clock_watch.hpp"
#include "gateway/control/control_server.hpp"
#include "gateway/control/operation.hpp"
#include "gateway/control/revocations.hpp"
#include "gateway/control/two_person.hpp"
#include "gateway/control_age.hpp"
#include "gateway/control_feed.hpp"
#include "gateway/cut_off.hpp"
#include "gateway/daemon.hpp"
#include "gateway/data_dir.hpp"
#include "gateway/metrics_server.hpp"
#include "gateway/services.hpp"
#include "gateway/upgrade/departure.hpp"
#include "gateway/upgrade/handover_journal.hpp"
#include "gateway/upgrade/predecessor.hpp"
#include "gateway/worker_pool.hpp"

namespace usher::gateway {

/// What Daemon is. Its start, its work and its end are in daemon.cpp, what the control API asks of it in
/// daemon_operation.cpp, and the way from one process to the next in daemon_upgrade.cpp.
class RunningDaemon final : public Daemon, private control::Operation {
public:
    RunningDaemon(Config config, const base::Clock& clock, upgrade::Program program)
        : config_(std::move(config)),
          clock_(clock),
          program_(std::move(program)),
          started_at_(clock.utc()),
          connection_limits_(config_.limits),
          tunnel_limits_(config_.limits),
          app_list_rates_(config_.limits),
          throttle_({config_.limits.sign_ins_burst, base::Microseconds{60'000'000} / config_.limits.sign_ins_per_minute,
                     65536, base::Microseconds{0}}) {}

    ~RunningDaemon() override { halt(); }

    base::Result<void> begin();

    /// What the older process hears of a failure is what the operator reads.
    base::Result<void> take_over(base::UniqueFd older);
    void reload() override;
    Asked asked() override;
    Upgraded upgrade() override;
    void stop(int signal, const NextSignal& next) override;

private:
    // -- what the control API asks

    Status status() const override;
    void drain(std::optional<base::Microseconds> limit) override;
    base::Result<void> upgrade(Upgrade upgrade) override;
    base::MonoTime drain_end() const;
    base::Microseconds time_left() const { return std::max(base::Microseconds{0}, drain_end() - clock_.mono()); }

    // -- the start

    base::Result<void> open_database(const std::string& data_dir);
    base::Result<void> load_certificates(const std::string& data_dir);
    base::Result<void> open_directory();
    base::Result<void> open_second_factors();
    base::Result<void> open_devices();
    audit::JournalOptions journal_options();
    base::Result<void> open_journal();
    base::Result<void> record_start(const std::string& detail);
    base::Result<void> serve(std::vector<base::UniqueFd> listeners);

    base::Result<void> open_revocations();
    /// What becomes of records: shipper, sinks, retention.
    base::Result<void> start_records();
    base::Result<void> start_sinks();
    base::Result<void> start_control();
    /// And retention, which it begins.
    void stop_control();
    base::Result<void> serve_control(int fd, control::TunnelOrigin origin);
    base::Result<void> start_metrics();

    // -- upgrade: the older process

    upgrade::Message::Hello hello() const;
    base::Result<void> hand_over(const Upgrade& wanted);
    void set_drain_end(base::MonoTime end);

    /// After an upgrade that failed: everything that was let go of is taken up again. Returns what is to be said.
    base::Error resume(const base::Error& error);

    /// The directory has changed, or sessions have ended, at the hands of the process that took over.
    std::uint64_t enforce_as_told(const upgrade::Message::Question::Enforce& asked);

    // -- upgrade: the newer process

    base::Result<void> take_over(const std::shared_ptr<upgrade::Link>& link);
    std::shared_ptr<upgrade::Predecessor> predecessor() const;
    void set_predecessor(std::shared_ptr<upgrade::Predecessor> before);

    // -- while it serves

    /// Cuts what is no longer allowed; returns when that is done on every worker, and in the process before this one.
    /// Never from a worker's thread.
    std::uint64_t enforce(const Enforcement& what);
    std::uint64_t enforce_known(const auth::Affected& affected);
    std::optional<std::uint64_t> count_accesses(std::span<const std::string> session_ids, base::Microseconds limit);

    /// Tunnels of this process and the one before it.
    std::size_t live() const;
    std::string expose();
    std::string not_ready();
    void start_maintenance();
    void stop_maintenance();

    /// Every second or so: what time, another process or the database has brought.
    void maintain();
    bool is_halting();
    void watch_clock();

    /// Expires sessions, with a record of each, and cuts what stood on them.
    base::Result<void> expire_sessions();

    // -- the end

    /// Takes everything apart, each part before what it uses. Idempotent.
    void halt();

    /// Ends the process before this one, whose tunnels have so long; returns when it is gone.
    void end_predecessor(base::Microseconds left);
    void finish_departure();
    void finish_journal();
    Config config_;
    const base::Clock& clock_;
    const upgrade::Program program_;
    const base::UtcTime started_at_;
    mutable std::mutex operation_mutex_;  ///< of what follows, up to the next empty line
    Asked asked_ = Asked::nothing;
    std::optional<base::MonoTime> drain_end_;
    Upgrade upgrade_;
    bool upgrading_ = false;
    std::string upgrade_error_;
    std::atomic<Phase> phase_{Phase::serving};
    Metrics metrics_;
    limits::ConnectionLimits connection_limits_;
    limits::TunnelLimits tunnel_limits_;
    limits::AppListRates app_list_rates_;
    const limits::Descriptors descriptors_ = limits::Descriptors::of_process();
    CurrentContext tls_;
    auth::SignInThrottle throttle_;
    Background background_;
    std::unique_ptr<DataDir> dir_;
    std::unique_ptr<base::sql::Database> database_;
    std::unique_ptr<audit::Store> store_;
    std::unique_ptr<auth::Directory> directory_;
    std::unique_ptr<auth::Sessions> sessions_;
    ControlAge control_age_;
    CutOff cut_off_;
    std::unique_ptr<ControlFeed> control_feed_;
    std::unique_ptr<upgrade::HandoverJournal> journal_;
    std::unique_ptr<audit::Shipper> shipper_;
    std::unique_ptr<audit::sinks::Sinks> sinks_;
    std::unique_ptr<audit::RetentionRunner> retention_;
    std::unique_ptr<auth::HashingWorker> hashing_;
    std::unique_ptr<auth::SecondFactors> second_factors_;
    std::unique_ptr<auth::Devices> devices_;
    std::unique_ptr<Gatekeeper> gatekeeper_;
    std::unique_ptr<control::Revocations> revocations_;
    std::unique_ptr<audit::PendingOrders> pending_orders_;
    std::unique_ptr<control::TwoPerson> two_person_;
    std::unique_ptr<Services> services_;
    WorkerPool workers_;
    std::mutex control_mutex_;
    std::unique_ptr<control::ControlServer> control_;
    std::unique_ptr<MetricsServer> metrics_server_;
    mutable std::mutex predecessor_mutex_;
    std::shared_ptr<upgrade::Predecessor> predecessor_;
    std::unique_ptr<upgrade::Departure> departure_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::thread maintenance_;
    bool look_again_ = false;  ///< maintenance_'s own: sessions may have changed at the hands of a process that is gone
    ClockWatch clock_watch_;   ///< maintenance_'s own, once that has been started
    bool halting_ = false, halted_ = false, started_ = false, database_failing_ = false;
};

}  // namespace usher::gateway
