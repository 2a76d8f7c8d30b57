#include "gateway/daemon.hpp"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "audit/days.hpp"
#include "auth/known_sources.hpp"
#include "base/log.hpp"
#include "base/notify.hpp"
#include "base/text.hpp"
#include "gateway/retention.hpp"
#include "gateway/running_daemon.hpp"
#include "gateway/sealing_keys.hpp"
#include "gateway/sinks/sink_outlets.hpp"

namespace usher::gateway {
namespace {

using base::Errc;
using base::Error;
using namespace std::chrono_literals;

constexpr auto maintenance_interval = 1s;
/// How often two processes of one gateway look at what the other one wrote about sessions.
constexpr auto refresh_interval = 5s;
/// Between counts of what the store refused.
constexpr auto count_interval = 5s;
constexpr base::Microseconds ship_limit_at_stop{5'000'000};
/// What all sinks together have for their last records.
constexpr base::Microseconds forward_limit_at_stop{5'000'000};
constexpr base::Microseconds control_stop_limit{2'000'000};

}  // namespace

base::Result<void> RunningDaemon::begin() {
    auto dir = DataDir::open(config_.data_dir);
    if (!dir) return dir.error();
    dir_ = std::move(*dir);
    if (auto r = open_database(dir_->path()); !r) return r;
    if (auto r = open_directory(); !r) return r;
    auth::learn_sources(*sessions_, throttle_, clock_);
    if (auto r = load_certificates(dir_->path()); !r) return r;
    if (auto r = open_journal(); !r) return r;
    auto crashed = audit::close_crashed(*journal_);
    if (!crashed) return Error{crashed.error().code, "journal: " + crashed.error().message};
    if (*crashed > 0) base::log_warning("accesses left open by a crash were closed", {{"accesses", *crashed}});
    if (auto r = record_start({}); !r) return r;
    auto listeners = WorkerPool::open_listeners(config_);
    if (!listeners) return listeners.error();
    return serve(std::move(*listeners));
}

void RunningDaemon::reload() {
    if (auto r = base::configure_log(config_.log); !r)
        base::log_error("the log could not be re-opened", {{"error", r.error().message}});
    if (auto r = load_certificates(dir_->path()); !r)
        base::log_error("certificates could not be reloaded; the old ones stay", {{"error", r.error().message}});
    else
        base::log_info("certificates and log were reloaded");
}

void RunningDaemon::stop(int signal, const NextSignal& next) {
    const bool left = departure_ != nullptr;  // then the manager listens to the process that took over
    const bool asked_for = signal == wake_signal;
    // To a service manager STOPPING begins its own limit, which may be shorter than what was asked for.
    if (!left) base::notify(asked_for ? "STATUS=draining" : "STOPPING=1");
    if (!left) phase_ = Phase::draining;
    workers_.stop_accepting();
    bool grace = left;
    // A drain that was asked for ends with the first SIGTERM, as the one that SIGTERM began ends with the second.
    bool end_now = false;
    {
        std::lock_guard lock(operation_mutex_);
        end_now = !asked_for && drain_end_;
        if (!drain_end_) drain_end_ = clock_.mono() + config_.timeouts.drain;
    }
    if (const auto before = predecessor()) before->leave(end_now ? base::Microseconds{0} : time_left());
    base::log_info("stopping: live tunnels are given time to end",
                   {{"tunnels", live()}, {"until", base::format_rfc3339(*status().drain_deadline)}});
    // Who connected to this process and has asked for nothing yet asks nobody else; each connection has its own limit.
    const auto work = [&] { return live() > 0 || (left && workers_.connections() > 0); };
    while (!end_now && work() && clock_.mono() < drain_end()) {
        const int next_signal = next();
        if (next_signal == SIGHUP) reload();
        const bool told = next_signal == SIGTERM || next_signal == SIGINT;
        // A service manager signals both processes: the older one's deadline may have been a far one.
        end_now = told && !std::exchange(grace, false);
        if (told && !end_now) set_drain_end(std::min(drain_end(), clock_.mono() + config_.timeouts.drain));
        if (left) {
            departure_->report(live(), time_left());
            end_now = end_now || departure_->lost();
        }
        if (!end_now) std::this_thread::sleep_for(20ms);  // polling, not synchronization
    }
    if (asked_for && !left) base::notify("STOPPING=1");
    halt();
}

base::Result<void> RunningDaemon::open_database(const std::string& data_dir) {
    const bool embedded = config_.database == "sqlite";
    auto database = base::sql::open_database(embedded ? "sqlite:" + data_dir + "/usher.db" : config_.database);
    if (!database) return Error{database.error().code, "'database': " + database.error().message};
    database_ = std::move(*database);
    std::vector<base::sql::Migration> migrations;
    for (const auto& m : auth::Directory::migrations()) migrations.push_back(m);
    for (const auto& m : audit::store_migrations()) migrations.push_back(m);
    if (auto r = database_->migrate(migrations); !r) return Error{r.error().code, "'database': " + r.error().message};
    if (auto r = audit::prepare_days(*database_, clock_.utc()); !r)
        base::log_warning("tables for the days to come could not be made; it is tried again",
                          {{"error", r.error().message}});
    store_ = std::make_unique<audit::Store>(*database_);
    return {};
}

base::Result<void> RunningDaemon::load_certificates(const std::string& data_dir) {
    tls::IdentityFiles files{config_.tls.certificate, config_.tls.private_key};
    if (files.certificate.empty()) {
        auto generated = tls::ensure_generated_identity(data_dir + "/tls", clock_.utc());
        if (!generated) return generated.error();
        files = std::move(*generated);
    }
    // Before an upgrade has taken over there are no devices yet, and the files are looked at alone.
    auto context = tls::make_server_context(files, devices_ ? devices_->authority().certificate() : std::string());
    if (!context) return Error{context.error().code, "'tls': " + context.error().message};
    tls_.set(std::move(*context));
    return {};
}

base::Result<void> RunningDaemon::open_directory() {
    const auto from = clock_.mono();
    auto directory = auth::Directory::open(*database_, clock_);
    if (!directory) return Error{directory.error().code, "'database': " + directory.error().message};
    directory_ = std::move(*directory);
    auto sessions = auth::Sessions::open(*database_, clock_, config_.sessions);
    if (!sessions) return Error{sessions.error().code, "'database': " + sessions.error().message};
    sessions_ = std::move(*sessions);
    control_age_.current_at(from);
    if (auto r = open_second_factors(); !r) return r;
    if (auto r = open_devices(); !r) return r;
    sessions_->set_listener([this](const auth::SessionPtr& session, auth::SessionEnd) {
        if (const auto before = predecessor()) before->session_ended(session->id);
    });
    return {};
}

base::Result<void> RunningDaemon::open_second_factors() {
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

base::Result<void> RunningDaemon::open_devices() {
    auto devices = auth::Devices::open(*database_, clock_, second_factors_->keys(),
                                       {config_.limits.devices_per_account, config_.device_approval});
    if (!devices) return Error{devices.error().code, "'database': " + devices.error().message};
    devices_ = std::move(*devices);
    // Those that are enrolled go on, so this is no reason not to start.
    if (!devices_->authority().can_issue())
        base::log_error(
            "the devices' authority is sealed with a key that is not in 'sealing_keys'; no device can be enrolled "
            "until it is given back");
    return {};
}

audit::JournalOptions RunningDaemon::journal_options() {
    audit::JournalOptions options;
    options.directory = dir_->file("journal");
    options.segment_bytes = config_.journal.segment_bytes;
    options.on_commit = [this](base::Microseconds took) { metrics_.observe_commit(took); };
    return options;
}

base::Result<void> RunningDaemon::open_journal() {
    const auto options = journal_options();
    auto journal = audit::Journal::open(options, clock_);
    if (!journal) return Error{journal.error().code, "journal: " + journal.error().message};
    journal_ = std::make_unique<upgrade::HandoverJournal>(std::move(*journal), clock_, options.stall_limit,
                                                          options.queue_records);
    return {};
}

base::Result<void> RunningDaemon::record_start(const std::string& detail) {
    usher::v1::SystemRecord started;
    started.set_event(usher::v1::SystemRecord::Event::STARTED);
    started.set_detail(detail);
    auto durable = journal_->append_and_wait(audit::encode(started));
    if (!durable) return Error{durable.error().code, "journal: " + durable.error().message};
    return {};
}

base::Result<void> RunningDaemon::serve(std::vector<base::UniqueFd> listeners) {
    hashing_ = std::make_unique<auth::HashingWorker>(64, config_.hashing);
    gatekeeper_ = std::make_unique<Gatekeeper>(*directory_, *sessions_, *devices_, clock_, control_age_, cut_off_);
    services_ = std::make_unique<Services>(Services{
        config_,
        clock_,
        *directory_,
        *sessions_,
        *hashing_,
        throttle_,
        *second_factors_,
        *devices_,
        *journal_,
        background_,
        metrics_,
        *gatekeeper_,
        cut_off_,
        connection_limits_,
        tunnel_limits_,
        app_list_rates_,
        descriptors_,
        tls_,
        phase_,
        [this](int fd, control::TunnelOrigin origin) { return serve_control(fd, std::move(origin)); },
        [this](const Enforcement& what) { return enforce(what); },
        [this](std::span<const std::string> ids, base::Microseconds limit) { return count_accesses(ids, limit); }});
    if (auto r = workers_.create(*services_, std::move(listeners)); !r) return r;
    if (auto r = open_revocations(); !r) return r;
    // Before anybody can change them.
    const auto enforce_change = [this](const auto& before, const auto& after) {
        enforce(Enforcement::of(auth::affected_by(*before, *after)));
    };
    directory_->set_listener(enforce_change);
    devices_->set_listener(enforce_change);
    if (auto r = start_records(); !r) return r;
    if (auto r = start_metrics(); !r) return r;
    // Last of what may fail: no order is taken that another process would have to undo.
    if (auto r = start_control(); !r) return r;
    workers_.start();
    started_ = true;
    revocations_->start();
    control_feed_ =
        ControlFeed::start({*database_, *directory_, *devices_, *sessions_, clock_, control_age_,
                            [this](const auth::Affected& affected) { enforce(Enforcement::of(affected)); }});
    start_maintenance();
    if (const auto shortage = descriptors_.shortage(config_.limits.connections); !shortage.empty())
        base::log_warning("too few descriptors for all connections that are allowed", {{"reason", shortage}});
    base::log_info("usherd serves", {{"listen", config_.listen.to_string()},
                                     {"workers", workers_.size()},
                                     {"gateway_id", journal_->gateway_id().to_string()}});
    return {};
}

base::Result<void> RunningDaemon::open_revocations() {
    auto revocations = control::Revocations::open(
        {*directory_, *sessions_, *devices_, *journal_, clock_, cut_off_,
         [this](const auth::Affected& affected) { return enforce(Enforcement::of(affected)); },
         [this](const auth::Affected& affected) { return enforce_known(affected); },
         [this](const std::string& id) {
             if (const auto before = predecessor()) before->session_ended(id);
         },
         dir_->file("revocations")});
    if (!revocations) return revocations.error();
    revocations_ = std::move(*revocations);
    return {};
}

base::Result<void> RunningDaemon::start_records() {
    shipper_ = audit::Shipper::start(*journal_, *store_, clock_);
    if (auto r = start_sinks(); !r) return r;
    retention_ = start_retention(*journal_, *database_, clock_, metrics_);
    return {};
}

base::Result<void> RunningDaemon::start_control() {
    control::TailLimits tails;
    tails.stall = config_.timeouts.tail;
    tails.on_cut = [this] { metrics_.audit_tails_cut.Increment(); };
    tails.on_subscribers = [this](std::size_t open) { metrics_.audit_tail_subscribers.Set(static_cast<double>(open)); };
    if (config_.two_person_deletion) {
        pending_orders_ = std::make_unique<audit::PendingOrders>(*database_);
        two_person_ = std::make_unique<control::TwoPerson>(*pending_orders_, *journal_, *directory_, clock_);
    }
    auto control = control::ControlServer::start(
        dir_->file("control.sock"),
        control::ControlDependencies{
            *directory_, *sessions_, *hashing_, *second_factors_, *journal_, *store_, *shipper_, clock_, *revocations_,
            [this](std::span<const std::string> ids, base::Microseconds limit) { return count_accesses(ids, limit); },
            [this](const auth::Affected& affected) { return enforce(Enforcement::of(affected)); }, this,
            retention_.get(), devices_.get(), sinks_.get(), std::move(tails), two_person_.get()});
    if (!control) return Error{control.error().code, "control API: " + control.error().message};
    std::lock_guard lock(control_mutex_);
    control_ = std::move(*control);
    return {};
}

base::Result<void> RunningDaemon::start_sinks() {
    for (const auto& sink : config_.sinks) metrics_.add_sink(sink.name);
    audit::sinks::Sinks::Dependencies needed{
        journal_->gateway_id(),
        *database_,
        *store_,
        clock_,
        [this] { return shipper_->shipped_sequence(); },
        [this](const std::string& sink, std::uint64_t events) { metrics_.sink_delivered(sink, events); },
        [this](const std::string& sink) { metrics_.sink_failed(sink); }};
    auto sinks = audit::sinks::Sinks::start(config_.sinks, std::move(needed), make_sink_outlet);
    if (!sinks) return Error{sinks.error().code, "'sinks': " + sinks.error().message};
    sinks_ = std::move(*sinks);
    return {};
}

void RunningDaemon::stop_control() {
    std::unique_ptr<control::ControlServer> control;
    {
        std::lock_guard lock(control_mutex_);
        control = std::move(control_);
    }
    if (control) control->stop(control_stop_limit);
    control.reset();
    retention_.reset();
}

base::Result<void> RunningDaemon::serve_control(int fd, control::TunnelOrigin origin) {
    std::lock_guard lock(control_mutex_);
    if (control_) return control_->serve_tunnel(fd, std::move(origin));
    ::close(fd);
    return Error{Errc::unavailable, "another process serves the control API"};
}

base::Result<void> RunningDaemon::start_metrics() {
    if (!config_.metrics) return {};
    auto server = MetricsServer::start(*config_.metrics, {[this] { return expose(); }, [this] { return not_ready(); }});
    if (!server) return server.error();
    metrics_server_ = std::move(*server);
    return {};
}

void RunningDaemon::start_maintenance() {
    halting_ = false;
    watch_clock();
    maintenance_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "maintenance");
        maintain();
    });
}

void RunningDaemon::stop_maintenance() {
    {
        std::lock_guard lock(mutex_);
        halting_ = true;
    }
    wake_.notify_all();
    if (maintenance_.joinable()) maintenance_.join();
}

/// Puts a step of the wall clock on record; of two processes of one gateway the newer one does.
void RunningDaemon::watch_clock() {
    const auto step = clock_watch_.look(ClockWatch::Reading::of(clock_));
    if (!step || departure_) return;
    const std::string what = describe_step(*step);
    base::log_warning(what);
    usher::v1::SystemRecord record;
    record.set_event(usher::v1::SystemRecord::Event::CLOCK_STEP);
    record.set_detail(what);
    journal_->append(audit::encode(record), [](base::Result<std::uint64_t> r) {
        if (!r) base::log_error("a step of the clock could not be recorded", {{"error", r.error().message}});
    });
}

bool RunningDaemon::is_halting() {
    std::lock_guard lock(mutex_);
    return halting_;
}

void RunningDaemon::maintain() {
    base::MonoTime refreshed_at = clock_.mono() - refresh_interval;
    base::MonoTime counted_at = clock_.mono() - count_interval;
    std::unique_lock lock(mutex_);
    while (!halting_) {
        wake_.wait_for(lock, maintenance_interval);
        if (halting_) break;
        lock.unlock();
        watch_clock();
        base::Result<void> database;
        // What the two processes of an upgrade cannot tell each other is in the database: sessions begin and are
        // used in both.
        // The same goes for other gateways, while they are not heard.
        const bool deaf = control_feed_ && !control_feed_->follows();
        const bool two = deaf || look_again_ || departure_ || (predecessor() && predecessor()->status());
        const auto from = clock_.mono();
        const bool whole = two && from - refreshed_at >= refresh_interval;
        if (whole) {
            refreshed_at = from;
            auto changed = sessions_->refresh();
            if (!changed) database = changed.error();
            if (changed) look_again_ = false;
            if (changed) enforce(Enforcement::of(*changed));
        }
        // Each may wait for a database that hangs, and whoever stops the gateway for no more than one of them.
        const auto step = [&](auto act) {
            if (is_halting()) return;
            if (auto r = act(); !r) database = r.error();
        };
        step([&] { return departure_ ? sessions_->flush() : expire_sessions(); });
        // What another gateway, or a commit whose answer was lost, made of the directory. The listener enforces it.
        step([&] { return directory_->refresh(); });
        step([&] { return devices_->refresh(); });
        if (is_halting()) break;
        if (whole && database) control_age_.current_at(from);
        if (clock_.mono() - counted_at >= count_interval) {
            counted_at = clock_.mono();
            if (auto parked = store_->count_parked())
                metrics_.audit_parked_records.Set(static_cast<double>(*parked));
            else
                database = parked.error();
        }
        if (!database && !database_failing_)
            base::log_warning("sessions and directory could not be brought up to date with the database",
                              {{"error", database.error().message}});
        database_failing_ = !database.ok();
        lock.lock();
    }
}

base::Result<void> RunningDaemon::expire_sessions() {
    auto swept = sessions_->sweep();
    const auto directory = directory_->snapshot();
    for (const auto& session : swept.expired) {
        usher::v1::SessionRecord record;
        record.set_event(usher::v1::SessionRecord::Event::EXPIRED);
        record.set_account_id(session->account_id);
        if (const auto* account = directory->account_by_id(session->account_id)) record.set_username(account->username);
        record.set_session_id(session->id);
        journal_->append(audit::encode(record), [](base::Result<std::uint64_t> r) {
            if (!r) base::log_error("the end of a session could not be recorded", {{"error", r.error().message}});
        });
    }
    enforce(Enforcement::of(swept.affected));
    return swept.database;
}

void RunningDaemon::halt() {
    if (halted_) return;
    halted_ = true;
    if (!departure_) phase_ = Phase::draining;
    stop_maintenance();
    control_feed_.reset();
    metrics_server_.reset();
    end_predecessor(base::Microseconds{0});
    if (control_) control_->stop(control_stop_limit);
    if (revocations_) revocations_->stop();
    if (retention_) retention_->stop();
    workers_.end();
    background_.stop();
    hashing_.reset();
    if (departure_)
        finish_departure();
    else if (journal_ && started_)
        finish_journal();
    if (sessions_ && started_) {
        if (auto saved = sessions_->flush(); !saved)
            base::log_warning("sessions could not be saved", {{"error", saved.error().message}});
    }
    control_.reset();
    revocations_.reset();
    retention_.reset();
    sinks_.reset();
    shipper_.reset();
    journal_.reset();
    workers_.clear();
    services_.reset();
    gatekeeper_.reset();
    devices_.reset();
    store_.reset();
    second_factors_.reset();
    sessions_.reset();
    directory_.reset();
    database_.reset();
    if (started_) base::log_info("usherd stopped");
    dir_.reset();
}

void RunningDaemon::finish_journal() {
    usher::v1::SystemRecord stopped;
    stopped.set_event(usher::v1::SystemRecord::Event::STOPPED);
    auto durable = journal_->append_and_wait(audit::encode(stopped));
    if (!durable)
        base::log_error("the stop could not be recorded", {{"error", durable.error().message}});
    else if (shipper_ && !shipper_->wait_shipped(*durable, ship_limit_at_stop))
        base::log_warning("not everything is in the store yet; the next start ships the rest",
                          {{"shipped", shipper_->shipped_sequence()}, {"durable", *durable}});
    else if (sinks_ && !sinks_->wait_forwarded(*durable, forward_limit_at_stop))
        base::log_warning("not everything is forwarded to all sinks yet; the next start goes on",
                          {{"durable", *durable}});
}

base::Result<std::unique_ptr<Daemon>> Daemon::start(Config config, const base::Clock& clock, upgrade::Program program) {
    auto daemon = std::make_unique<RunningDaemon>(std::move(config), clock, std::move(program));
    if (auto r = daemon->begin(); !r) return r.error();
    return std::unique_ptr<Daemon>(std::move(daemon));
}

base::Result<std::unique_ptr<Daemon>> Daemon::take_over(Config config, const base::Clock& clock,
                                                        upgrade::Program program, base::UniqueFd older) {
    auto daemon = std::make_unique<RunningDaemon>(std::move(config), clock, std::move(program));
    if (auto r = daemon->take_over(std::move(older)); !r) return r.error();
    return std::unique_ptr<Daemon>(std::move(daemon));
}

}  // namespace usher::gateway
