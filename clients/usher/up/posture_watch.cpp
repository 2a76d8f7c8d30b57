#include "clients/usher/up/posture_watch.hpp"

#include <exception>

#include "base/log.hpp"
#include "clients/common/private_file.hpp"
#include "clients/device/device_store.hpp"
#include "clients/posture/declined.hpp"

namespace usher::clients::agent {

namespace {

/// What a connection of this device shows, as for the tunnels.
base::Result<TlsTrust> trust_for(const SavedSession& session, base::UtcTime now) {
    auto trust = TlsTrust::load(session.ca_file);
    if (!trust) return trust;
    const auto directory = config_directory("usher");
    if (!directory) return directory.error();
    auto device = device::DeviceStore(*directory, device::PinAsking::never).load();
    if (!device) return std::move(device).error();
    if (*device && !(*device)->expired(now)) trust->present(std::move(**device));
    return trust;
}

}  // namespace

PostureWatch::PostureWatch(SystemTree tree, ScreenLock lock, std::string declined_file, const base::Clock& clock)
    : tree_(std::move(tree)),
      declined_file_(std::move(declined_file)),
      clock_(clock),
      lock_(std::move(lock)),
      thread_([this] { run(); }) {}

PostureWatch::~PostureWatch() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    stop_.set();
    changed_.notify_all();
    thread_.join();
}

void PostureWatch::look(SharedSession session) {
    {
        const std::lock_guard lock(mutex_);
        wanted_ = std::move(session);
    }
    changed_.notify_all();
}

void PostureWatch::run() {
    for (;;) {
        SharedSession session;
        {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return stopping_ || wanted_ != nullptr; });
            if (stopping_) return;
            session = std::exchange(wanted_, nullptr);
        }
        try {
            look_now(*session);
        } catch (const std::exception& error) {
            // A device that cannot say how it is must not take its tunnels with it; the next look tries again.
            say(error.what());
        }
    }
}

void PostureWatch::say(const std::string& words) {
    if (words == said_ || stop_.is_set()) return;
    said_ = words;
    if (!words.empty()) base::log_warning("the posture of this device could not be reported", {{"error", words}});
}

void PostureWatch::look_now(const SavedSession& session) {
    // Where it is not known what its user declined, nothing is sent.
    const auto declined = load_declined(declined_file_);
    if (!declined) return say(declined.error().message);
    const auto posture = collect_posture(tree_, lock_, *declined, &stop_);
    if (stop_.is_set()) return;
    if (!plan_.due(session.session_id, posture, clock_.mono())) return;
    const auto trust = trust_for(session, clock_.utc());
    if (!trust) return say(trust.error().message);
    const auto result = report_posture(*trust, session, posture, &stop_);
    plan_.reported(session.session_id, posture, result.outcome, clock_.mono());
    say(result.words);
    if (result.outcome == ReportResult::Outcome::taken) base::log_info("the posture of this device was reported");
}

}  // namespace usher::clients::agent
