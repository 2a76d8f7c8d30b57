#include <unistd.h>

#include <utility>

#include "auth/known_sources.hpp"
#include "base/log.hpp"
#include "base/notify.hpp"
#include "gateway/running_daemon.hpp"

namespace usher::gateway {
namespace {

using base::Errc;
using base::Error;
using namespace std::chrono_literals;

/// What a new process has to be ready to take over (it may have a schema to change), and then to serve (it reads the
/// journal; meanwhile appends wait, so the journal counts as unhealthy before).
constexpr base::Microseconds prepare_limit{120'000'000};
constexpr base::Microseconds take_over_limit{30'000'000};
/// What a predecessor has to end when its time is over, and what a process that has handed over has for its last
/// records.
constexpr base::Microseconds last_words_limit{5'000'000};
/// What a predecessor without tunnels has for connections that have asked for nothing yet.
constexpr base::Microseconds half_way_limit{2'000'000};
/// How long a directory that another process has changed is tried for; that one kills us a little later.
constexpr base::Microseconds directory_limit{4'000'000};

}  // namespace

base::Result<void> RunningDaemon::take_over(base::UniqueFd older) {
    auto adopted = upgrade::Link::adopt(std::move(older));
    if (!adopted) return adopted.error();
    const std::shared_ptr<upgrade::Link> link = std::move(*adopted);
    auto taken = take_over(link);
    if (taken) return taken;
    if (const auto before = predecessor()) before->release();
    set_predecessor(nullptr);
    upgrade::Message message;
    message.mutable_failed()->set_reason(taken.error().message);
    (void)link->send(message);  // where it has gone, this process goes too
    return taken;
}

RunningDaemon::Upgraded RunningDaemon::upgrade() {
    control::Operation::Upgrade wanted;
    {
        std::lock_guard lock(operation_mutex_);
        wanted = std::exchange(upgrade_, {});
    }
    base::log_info("a new process is to take over", {{"program", program_.path}});
    auto handed_over = hand_over(wanted);
    if (handed_over) return Upgraded::yes;
    const auto& error = handed_over.error();
    const bool broken = !journal_->status().healthy && error.code == Errc::internal;
    base::log_error(broken ? "the upgrade failed, and this process cannot go on"
                           : "the upgrade did not happen; this process goes on",
                    {{"error", error.message}});
    if (wanted.failed) wanted.failed(error);
    std::lock_guard lock(operation_mutex_);
    upgrading_ = false;
    upgrade_error_ = error.message;
    return broken ? Upgraded::broken : Upgraded::no;
}

upgrade::Message::Hello RunningDaemon::hello() const {
    upgrade::Message::Hello hello;
    hello.set_version(USHER_VERSION);
    hello.set_process_id(::getpid());
    hello.set_listen(config_.listen.to_string());
    hello.set_metrics(config_.metrics ? config_.metrics->to_string() : "");
    hello.set_data_dir(dir_->path());
    hello.set_database(config_.database);
    return hello;
}

base::Result<void> RunningDaemon::hand_over(const Upgrade& wanted) {
    end_predecessor(wanted.end_previous ? base::Microseconds{0} : half_way_limit);
    auto successor = upgrade::Successor::prepare(program_, hello(), prepare_limit);
    if (!successor) return successor.error();

    // From here on it is the other one's, or comes back. Workers go on all the while.
    stop_maintenance();
    stop_control();
    revocations_->stop();
    metrics_server_.reset();
    sinks_.reset();  // so that two processes do not forward at once
    shipper_.reset();
    if (auto saved = sessions_->flush(); !saved)
        base::log_warning("sessions could not be saved", {{"error", saved.error().message}});
    journal_->freeze();
    std::vector<int> descriptors{dir_->lock()};
    for (const int listener : workers_.listeners()) descriptors.push_back(listener);
    if (auto taken = (*successor)->take_over(descriptors, take_over_limit); !taken) {
        const Error error = taken.error();
        successor->reset();  // dead: it has let go of everything
        return resume(error);
    }

    phase_ = Phase::leaving;
    {
        std::lock_guard lock(operation_mutex_);
        drain_end_ = clock_.mono() + wanted.limit.value_or(config_.timeouts.drain);
    }
    base::notify("MAINPID=" + std::to_string((*successor)->process_id()));
    base::log_info("another process has taken over; this one finishes its tunnels",
                   {{"process", (*successor)->process_id()}, {"version", (*successor)->version()}});
    departure_ = std::make_unique<upgrade::Departure>(
        (*successor)->release_link(), *journal_,
        upgrade::Departure::Duties{
            [this](const upgrade::Message::Question::Enforce& asked) { return enforce_as_told(asked); },
            [this](const std::string& id) {
                return workers_.count_accesses({&id, 1}, std::chrono::steady_clock::now() + std::chrono::seconds{5})
                    .value_or(0);
            },
            [this](base::Microseconds limit) { set_drain_end(clock_.mono() + limit); }});
    start_maintenance();
    return {};
}

void RunningDaemon::set_drain_end(base::MonoTime end) {
    std::lock_guard lock(operation_mutex_);
    drain_end_ = end;
}

Error RunningDaemon::resume(const Error& error) {
    const auto broken = [&](const base::Error& why) {
        return Error{Errc::internal, error.message + "; and then this process could not go on: " + why.message};
    };
    if (auto claimed = dir_->claim(); !claimed) return broken(claimed.error());
    auto journal = audit::Journal::open(journal_options(), clock_);
    if (!journal) {
        journal_->fail(journal.error().message);
        return broken(journal.error());
    }
    journal_->thaw(std::move(*journal));
    (void)journal_->take_open_accesses();  // they are this process's own, and live
    // Orders that the other process took, and could not bring into the database, are in the file.
    if (auto r = revocations_->read_again(); !r)
        base::log_error("what the other process was told to cut off is not known here", {{"error", r.error().message}});
    enforce(Enforcement::of(auth::Affected::all()));
    look_again_ = true;  // for as long as the other process served, it may have taken orders, and ended sessions
    start_maintenance();
    revocations_->start();
    auto control = start_records();
    if (auto metrics = start_metrics(); !metrics)
        base::log_error("metrics are not served any more", {{"error", metrics.error().message}});
    if (control) control = start_control();
    if (!control) base::log_error("the control API is not served any more", {{"error", control.error().message}});
    return error;
}

std::uint64_t RunningDaemon::enforce_as_told(const upgrade::Message::Question::Enforce& asked) {
    for (const auto& id : asked.ended_sessions()) sessions_->end_here(id, auth::SessionEnd::revoked);
    // What is known to be over does not wait for a database that may be away.
    const Enforcement all{auth::Affected::all(), asked.signed_out()};
    const auto cut = workers_.enforce(all);
    // Somebody is cut off whom the database does not know of yet.
    if (asked.directory_version() == 0) return cut;
    bool devices_known = false;
    // The change has been committed, so the database is there, or will be. An answer without it would be a lie.
    for (const auto until = clock_.mono() + directory_limit;
         directory_->snapshot()->version() < asked.directory_version() || !devices_known;) {
        auto refreshed = directory_->refresh();
        if (refreshed) refreshed = devices_->refresh();
        devices_known = refreshed.ok();
        if (refreshed) continue;
        if (clock_.mono() < until) {
            std::this_thread::sleep_for(50ms);  // polling a database that is away
            continue;
        }
        base::log_error("what is no longer allowed is not known here; every tunnel is cut",
                        {{"error", refreshed.error().message}});
        set_drain_end(clock_.mono());
        return cut;
    }
    // What devices say of themselves is told to the other process only.
    if (directory_->snapshot()->has_posture_tests())
        if (auto seen = sessions_->refresh(); !seen)
            base::log_warning("what devices say of themselves may be out of date here",
                              {{"error", seen.error().message}});
    return cut + workers_.enforce(all);
}

base::Result<void> RunningDaemon::take_over(const std::shared_ptr<upgrade::Link>& link) {
    auto heard = link->receive(take_over_limit);
    if (!heard) return heard.error();
    if (!heard->message.has_hello()) return Error{Errc::data_loss, "the older process does not speak as expected"};
    const auto older = heard->message.hello();
    auto path = DataDir::examine(config_.data_dir);
    if (!path) return path.error();
    const std::string metrics = config_.metrics ? config_.metrics->to_string() : "";
    const auto differs = [&](const char* key) {
        return Error{Errc::failed_precondition,
                     config_.file + ": '" + key + "' is not what the running gateway has; that takes a restart"};
    };
    if (config_.listen.to_string() != older.listen()) return differs("listen");
    if (metrics != older.metrics()) return differs("metrics");
    if (*path != older.data_dir()) return differs("data_dir");
    if (config_.database != older.database()) return differs("database");
    if (auto r = open_database(*path); !r) return r;
    if (auto r = load_certificates(*path); !r) return r;
    upgrade::Message message;
    message.mutable_prepared()->set_version(USHER_VERSION);
    message.mutable_prepared()->set_process_id(::getpid());
    if (auto r = link->send(message); !r) return r;

    auto handed = link->receive(take_over_limit);
    if (!handed) return handed.error();
    auto& descriptors = handed->descriptors;
    if (!handed->message.has_take() || descriptors.size() < 2)
        return Error{Errc::data_loss, "the older process does not speak as expected"};
    auto dir = DataDir::adopt(*path, std::move(descriptors.front()));
    if (!dir) return dir.error();
    dir_ = std::move(*dir);
    descriptors.erase(descriptors.begin());
    if (config_.workers > 0 && config_.workers != descriptors.size())
        base::log_warning("'workers' changes with a restart only",
                          {{"configured", config_.workers}, {"workers", descriptors.size()}});
    if (auto r = open_directory(); !r) return r;
    // Once more: which clients are asked for their certificates is in the database.
    if (auto r = load_certificates(dir_->path()); !r) return r;
    if (auto r = open_journal(); !r) return r;
    auto open = journal_->take_open_accesses();
    if (auto r = record_start("took over from process " + std::to_string(older.process_id()) + ", usherd " +
                              older.version());
        !r)
        return r;
    // Before anybody can give an order here: it is to be in force there too.
    const auto before = std::make_shared<upgrade::Predecessor>(link, older, std::move(open), *journal_, clock_, [] {
        base::log_info("the process before this one has ended");
    });
    set_predecessor(before);
    if (auto r = serve(std::move(descriptors)); !r) return r;
    message.Clear();
    message.mutable_serving();
    (void)link->send(message);  // where the older one has ended meanwhile, what it left is closed at once
    before->start();
    auth::learn_sources(*sessions_, throttle_, clock_);  // nobody waits for it
    return {};
}

std::shared_ptr<upgrade::Predecessor> RunningDaemon::predecessor() const {
    std::lock_guard lock(predecessor_mutex_);
    return predecessor_;
}

void RunningDaemon::set_predecessor(std::shared_ptr<upgrade::Predecessor> before) {
    std::lock_guard lock(predecessor_mutex_);
    predecessor_.swap(before);
}

void RunningDaemon::end_predecessor(base::Microseconds left) {
    const auto before = predecessor();
    if (!before) return;
    before->leave(left);
    if (!before->wait_ended(left + last_words_limit)) before->kill();
    set_predecessor(nullptr);
}

void RunningDaemon::finish_departure() {
    if (!journal_->wait_answered(last_words_limit))
        base::log_error("the last records were not confirmed by the process that took over; it closes what is open");
    departure_.reset();
}

}  // namespace usher::gateway
