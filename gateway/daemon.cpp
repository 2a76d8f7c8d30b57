#include "gateway/daemon.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "audit/audit.hpp"
#include "audit/store.hpp"
#include "base/log.hpp"
#include "base/notify.hpp"
#include "base/sql/database.hpp"
#include "base/text.hpp"
#include "gateway/control/control_server.hpp"
#include "gateway/control/operation.hpp"
#include "gateway/data_dir.hpp"
#include "gateway/metrics_server.hpp"
#include "gateway/sealing_keys.hpp"
#include "gateway/services.hpp"
#include "gateway/sockets.hpp"
#include "gateway/worker.hpp"

namespace usher::gateway {
namespace {

using base::Errc;
using base::Error;
using namespace std::chrono_literals;

constexpr auto maintenance_interval = 1s;
constexpr base::Microseconds ship_limit_at_stop{5'000'000};

/// Collects one number from each worker. The wait ends when all have answered.
class Gather {
public:
    explicit Gather(std::size_t expected) : missing_(expected) {}
    void add(std::uint64_t count) {
        std::lock_guard lock(mutex_);
        total_ += count;
        --missing_;
        done_.notify_all();
    }
    /// False when `abandoned` says that the workers are gone.
    std::uint64_t wait(const std::atomic<bool>& abandoned) {
        std::unique_lock lock(mutex_);
        while (missing_ > 0 && !abandoned.load()) done_.wait_for(lock, 50ms);
        return total_;
    }

private:
    std::mutex mutex_;
    std::condition_variable done_;
    std::size_t missing_;
    std::uint64_t total_ = 0;
};

auth::SignInThrottle::Limits sign_in_limits(const Config::Limits& limits) {
    return {limits.sign_ins_burst, base::Microseconds{60'000'000} / limits.sign_ins_per_minute, 65536};
}

class RunningDaemon final : public Daemon, private control::Operation {
public:
    RunningDaemon(Config config, const base::Clock& clock)
        : config_(std::move(config)),
          clock_(clock),
          started_at_(clock.utc()),
          connection_limits_(config_.limits),
          tunnel_limits_(config_.limits),
          throttle_(sign_in_limits(config_.limits), {}) {}

    ~RunningDaemon() override { halt(); }

    base::Result<void> begin() {
        if (auto r = open_storage(); !r) return r;
        if (auto r = load_certificates(); !r) return r;
        if (auto r = open_audit(); !r) return r;
        return serve();
    }

    void reload() override {
        if (auto r = base::configure_log(config_.log); !r)
            base::log_error("the log could not be re-opened", {{"error", r.error().message}});
        if (auto r = load_certificates(); !r)
            base::log_error("certificates could not be reloaded; the old ones stay", {{"error", r.error().message}});
        else
            base::log_info("certificates and log were reloaded");
    }

    Asked asked() override {
        std::lock_guard lock(operation_mutex_);
        return std::exchange(asked_, Asked::nothing);
    }

    void stop(int signal, const NextSignal& next) override {
        const bool asked_for = signal == wake_signal;
        // To a service manager STOPPING begins its own limit, which may be shorter than what was asked for.
        base::notify(asked_for ? "STATUS=draining" : "STOPPING=1");
        draining_ = true;
        for (auto& worker : workers_) worker->stop_accepting();
        // A drain that was asked for ends with the first SIGTERM, as the one that SIGTERM began ends with the second.
        bool end_now = false;
        {
            std::lock_guard lock(operation_mutex_);
            end_now = !asked_for && drain_end_;
            if (!drain_end_) drain_end_ = clock_.mono() + config_.timeouts.drain;
        }
        base::log_info("stopping: live tunnels are given time to end",
                       {{"tunnels", live()}, {"until", base::format_rfc3339(*status().drain_deadline)}});
        while (!end_now && live() > 0 && clock_.mono() < drain_end()) {
            const int next_signal = next();
            if (next_signal == SIGHUP) reload();
            end_now = next_signal == SIGTERM || next_signal == SIGINT;
            if (!end_now) std::this_thread::sleep_for(20ms);  // polling, not synchronization
        }
        if (asked_for) base::notify("STOPPING=1");
        halt();
    }

private:
    Status status() const override {
        Status status;
        status.process_id = ::getpid();
        status.started_at = started_at_;
        status.tunnels = live();
        std::lock_guard lock(operation_mutex_);
        status.draining = drain_end_.has_value();
        if (drain_end_) status.drain_deadline = clock_.utc() + (*drain_end_ - clock_.mono());
        return status;
    }

    void drain(std::optional<base::Microseconds> limit) override {
        draining_ = true;  // whoever asks /readyz after this call hears of it
        std::lock_guard lock(operation_mutex_);
        drain_end_ = clock_.mono() + limit.value_or(config_.timeouts.drain);
        asked_ = Asked::drain;
        ::kill(::getpid(), wake_signal);
    }

    base::MonoTime drain_end() const {
        std::lock_guard lock(operation_mutex_);
        return *drain_end_;
    }

    base::Result<void> open_storage() {
        auto dir = DataDir::open(config_.data_dir);
        if (!dir) return dir.error();
        dir_ = std::move(*dir);

        const bool embedded = config_.database == "sqlite";
        auto database = base::sql::open_database(embedded ? "sqlite:" + dir_->file("usher.db") : config_.database);
        if (!database) return Error{database.error().code, "'database': " + database.error().message};
        database_ = std::move(*database);
        std::vector<base::sql::Migration> migrations;
        for (const auto& m : auth::Directory::migrations()) migrations.push_back(m);
        for (const auto& m : audit::store_migrations()) migrations.push_back(m);
        if (auto r = database_->migrate(migrations); !r)
            return Error{r.error().code, "'database': " + r.error().message};

        auto directory = auth::Directory::open(*database_, clock_);
        if (!directory) return Error{directory.error().code, "'database': " + directory.error().message};
        directory_ = std::move(*directory);
        auto sessions = auth::Sessions::open(*database_, clock_, config_.sessions);
        if (!sessions) return Error{sessions.error().code, "'database': " + sessions.error().message};
        sessions_ = std::move(*sessions);
        return open_second_factors();
    }

    base::Result<void> open_second_factors() {
        auto keys = load_sealing_keys(config_.sealing_keys, dir_->file("keys"));
        if (!keys) return Error{keys.error().code, "'sealing_keys': " + keys.error().message};
        second_factors_ = std::make_unique<auth::SecondFactors>(*database_, clock_, std::move(*keys));
        auto lost = second_factors_->count_unopenable();
        if (!lost) return Error{lost.error().code, "'database': " + lost.error().message};
        // The others can sign in, so this is no reason not to start.
        if (*lost > 0)
            base::log_error(
                "second factors are sealed with a key that is not in 'sealing_keys'; these accounts cannot "
                "sign in until it is given back, or their second factors are reset",
                {{"accounts", *lost}});
        return {};
    }

    base::Result<void> load_certificates() {
        tls::IdentityFiles files{config_.tls.certificate, config_.tls.private_key};
        if (files.certificate.empty()) {
            auto generated = tls::ensure_generated_identity(dir_->file("tls"), clock_.utc());
            if (!generated) return generated.error();
            files = std::move(*generated);
        }
        auto context = tls::make_server_context(files);
        if (!context) return Error{context.error().code, "'tls': " + context.error().message};
        tls_.set(std::move(*context));
        return {};
    }

    base::Result<void> open_audit() {
        audit::JournalOptions options;
        options.directory = dir_->file("journal");
        options.segment_bytes = config_.journal.segment_bytes;
        options.on_commit = [this](base::Microseconds took) { metrics_.observe_commit(took); };
        auto journal = audit::Journal::open(options, clock_);
        if (!journal) return Error{journal.error().code, "journal: " + journal.error().message};
        journal_ = std::move(*journal);
        store_ = std::make_unique<audit::Store>(*database_);
        auto crashed = audit::close_crashed(*journal_);
        if (!crashed) return Error{crashed.error().code, "journal: " + crashed.error().message};
        if (*crashed > 0) base::log_warning("accesses left open by a crash were closed", {{"accesses", *crashed}});
        usher::v1::SystemRecord started;
        started.set_event(usher::v1::SystemRecord::Event::STARTED);
        auto durable = journal_->append_and_wait(audit::encode(started));
        if (!durable) return Error{durable.error().code, "journal: " + durable.error().message};
        shipper_ = audit::Shipper::start(*journal_, *store_, clock_);
        return {};
    }

    base::Result<void> serve() {
        hashing_ = std::make_unique<auth::HashingWorker>(64, config_.hashing);
        gatekeeper_ = std::make_unique<Gatekeeper>(*directory_, *sessions_, clock_);
        services_ = std::make_unique<Services>(
            Services{config_, clock_, *directory_, *sessions_, *hashing_, throttle_, *second_factors_, *journal_,
                     background_, metrics_, *gatekeeper_, connection_limits_, tunnel_limits_, descriptors_, tls_,
                     draining_, [this](int fd) { return control_->serve_tunnel(fd); },
                     [this](const std::string& id) { return enforce(id); },
                     [this](const std::string& id) { return count_accesses(id); }});

        // SO_REUSEPORT would let a second usherd of the same user share the port in silence; a probe without it finds
        // out.
        auto probe = open_listener(config_.listen, "listen", false);
        if (!probe) return probe.error();
        ::close(*probe);
        auto own = std::make_shared<dial::OwnListeners>();
        own->local_addresses = dial::local_interface_addresses();
        own->listeners.push_back({config_.listen.address, config_.listen.port});
        if (config_.metrics) own->listeners.push_back({config_.metrics->address, config_.metrics->port});
        const unsigned count =
            config_.workers > 0 ? config_.workers : std::max(1u, std::thread::hardware_concurrency());
        for (unsigned i = 0; i < count; ++i) {
            auto fd = open_listener(config_.listen, "listen", true);
            if (!fd) return fd.error();
            try {
                workers_.push_back(std::make_unique<Worker>(*services_, i, *fd, own));
            } catch (const std::runtime_error& e) {
                return Error{Errc::failed_precondition, e.what()};
            }
        }
        auto control = control::ControlServer::start(
            dir_->file("control.sock"),
            control::ControlDependencies{
                *directory_, *sessions_, *hashing_, *second_factors_, *journal_, *store_, *shipper_, clock_,
                [this](const std::string& id) { return count_accesses(id); }, [this] { return enforce({}); }, this});
        if (!control) return Error{control.error().code, "control API: " + control.error().message};
        control_ = std::move(*control);
        if (config_.metrics) {
            auto server =
                MetricsServer::start(*config_.metrics, {[this] { return expose(); }, [this] { return not_ready(); }});
            if (!server) return server.error();
            metrics_server_ = std::move(*server);
        }
        directory_->set_listener([this](const auth::Snapshot&) { enforce({}); });
        for (auto& worker : workers_) worker->start();
        started_ = true;
        maintenance_ = std::thread([this] { maintain(); });
        if (const auto shortage = descriptors_.shortage(config_.limits.connections); !shortage.empty())
            base::log_warning("too few descriptors for all connections that are allowed", {{"reason", shortage}});
        base::log_info("usherd serves", {{"listen", config_.listen.to_string()},
                                         {"workers", count},
                                         {"gateway_id", journal_->gateway_id().to_string()}});
        return {};
    }

    /// Cuts what is no longer allowed; returns when that is done on every worker. Never from a worker's thread.
    std::uint64_t enforce(const std::string& signed_out) {
        auto gather = std::make_shared<Gather>(workers_.size());
        for (auto& worker : workers_) worker->enforce(signed_out, [gather](std::uint64_t n) { gather->add(n); });
        return gather->wait(workers_gone_);
    }

    std::uint64_t count_accesses(const std::string& session_id) {
        auto gather = std::make_shared<Gather>(workers_.size());
        for (auto& worker : workers_) worker->count_accesses(session_id, [gather](std::uint64_t n) { gather->add(n); });
        return gather->wait(workers_gone_);
    }

    std::size_t live() const {
        std::size_t sum = 0;
        for (const auto& worker : workers_) sum += worker->live();
        return sum;
    }

    std::string expose() {
        const auto status = journal_->status();
        metrics_.journal_durable_sequence.Set(static_cast<double>(status.durable_sequence));
        const auto shipped = shipper_->shipped_sequence();
        metrics_.journal_shipped_sequence.Set(static_cast<double>(shipped));
        metrics_.journal_unshipped_events.Set(
            static_cast<double>(status.durable_sequence - std::min(status.durable_sequence, shipped)));
        metrics_.journal_queue_events.Set(static_cast<double>(status.queued));
        metrics_.hashing_queue.Set(static_cast<double>(hashing_->queued()));
        metrics_.background_queue.Set(static_cast<double>(background_.queued()));
        metrics_.journal_healthy.Set(status.healthy ? 1 : 0);
        return metrics_.expose();
    }

    std::string not_ready() {
        if (draining_) return "shutting down";
        if (!journal_->status().healthy) return "the journal takes no records";
        return {};
    }

    /// Expires sessions, with a record of each, and cuts what stood on them.
    void maintain() {
        std::unique_lock lock(mutex_);
        while (!halting_) {
            wake_.wait_for(lock, maintenance_interval);
            if (halting_) break;
            lock.unlock();
            auto swept = sessions_->sweep();
            if (!swept.database && !database_failing_)
                base::log_warning("sessions could not be saved", {{"error", swept.database.error().message}});
            // What another gateway, or a commit whose answer was lost, made of the directory. The listener enforces it.
            auto refreshed = directory_->refresh();
            if (!refreshed && swept.database && !database_failing_)
                base::log_warning("the directory could not be read again", {{"error", refreshed.error().message}});
            database_failing_ = !swept.database.ok() || !refreshed.ok();
            const auto directory = directory_->snapshot();
            for (const auto& session : swept.expired) {
                usher::v1::SessionRecord record;
                record.set_event(usher::v1::SessionRecord::Event::EXPIRED);
                record.set_account_id(session->account_id);
                if (const auto* account = directory->account_by_id(session->account_id))
                    record.set_username(account->username);
                record.set_session_id(session->id);
                journal_->append(audit::encode(record), [](base::Result<std::uint64_t> r) {
                    if (!r)
                        base::log_error("the end of a session could not be recorded", {{"error", r.error().message}});
                });
            }
            if (!swept.expired.empty()) enforce({});
            lock.lock();
        }
    }

    /// Takes everything apart, each part before what it uses. Idempotent.
    void halt() {
        if (halted_) return;
        halted_ = true;
        draining_ = true;
        {
            std::lock_guard lock(mutex_);
            halting_ = true;
        }
        wake_.notify_all();
        if (maintenance_.joinable()) maintenance_.join();
        metrics_server_.reset();
        if (control_) control_->stop(base::Microseconds{2'000'000});
        if (started_) {
            for (auto& worker : workers_) worker->shut_down();
            for (auto& worker : workers_) worker->join();
        }
        workers_gone_ = true;
        background_.stop();
        hashing_.reset();
        if (journal_ && started_) {
            usher::v1::SystemRecord stopped;
            stopped.set_event(usher::v1::SystemRecord::Event::STOPPED);
            auto durable = journal_->append_and_wait(audit::encode(stopped));
            if (!durable)
                base::log_error("the stop could not be recorded", {{"error", durable.error().message}});
            else if (shipper_ && !shipper_->wait_shipped(*durable, ship_limit_at_stop))
                base::log_warning("not everything is in the store yet; the next start ships the rest",
                                  {{"shipped", shipper_->shipped_sequence()}, {"durable", *durable}});
        }
        if (sessions_ && started_) {
            if (auto swept = sessions_->sweep(); !swept.database)
                base::log_warning("sessions could not be saved", {{"error", swept.database.error().message}});
        }
        control_.reset();
        shipper_.reset();
        journal_.reset();
        workers_.clear();
        services_.reset();
        gatekeeper_.reset();
        store_.reset();
        second_factors_.reset();
        sessions_.reset();
        directory_.reset();
        database_.reset();
        if (started_) base::log_info("usherd stopped");
        dir_.reset();
    }

    Config config_;
    const base::Clock& clock_;
    const base::UtcTime started_at_;
    mutable std::mutex operation_mutex_;  ///< of the next two
    Asked asked_ = Asked::nothing;
    std::optional<base::MonoTime> drain_end_;
    std::atomic<bool> draining_{false};
    std::atomic<bool> workers_gone_{false};
    Metrics metrics_;
    limits::ConnectionLimits connection_limits_;
    limits::TunnelLimits tunnel_limits_;
    const limits::Descriptors descriptors_ = limits::Descriptors::of_process();
    CurrentContext tls_;
    auth::SignInThrottle throttle_;
    Background background_;
    std::unique_ptr<DataDir> dir_;
    std::unique_ptr<base::sql::Database> database_;
    std::unique_ptr<auth::Directory> directory_;
    std::unique_ptr<auth::Sessions> sessions_;
    std::unique_ptr<audit::Store> store_;
    std::unique_ptr<audit::Journal> journal_;
    std::unique_ptr<audit::Shipper> shipper_;
    std::unique_ptr<auth::HashingWorker> hashing_;
    std::unique_ptr<auth::SecondFactors> second_factors_;
    std::unique_ptr<Gatekeeper> gatekeeper_;
    std::unique_ptr<Services> services_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::unique_ptr<control::ControlServer> control_;
    std::unique_ptr<MetricsServer> metrics_server_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::thread maintenance_;
    bool halting_ = false, halted_ = false, started_ = false, database_failing_ = false;
};

}  // namespace

base::Result<std::unique_ptr<Daemon>> Daemon::start(Config config, const base::Clock& clock) {
    auto daemon = std::make_unique<RunningDaemon>(std::move(config), clock);
    if (auto r = daemon->begin(); !r) return r.error();
    return std::unique_ptr<Daemon>(std::move(daemon));
}

}  // namespace usher::gateway
