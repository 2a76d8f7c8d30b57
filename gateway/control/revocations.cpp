#include "gateway/control/revocations.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "audit/audit.hpp"
#include "auth/change_json.hpp"
#include "auth/validate.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/revocation_entry.hpp"
#include "gateway/control/status.hpp"
#include "gateway/data_dir.hpp"

namespace usher::gateway::control {
namespace {

using auth::Change;
using auth::DeviceAct;
using base::Errc;
using base::Error;
using base::Result;
using Kind = Revocation::Kind;
using Outcome = usher::v1::AdminRecord::Outcome;
using std::chrono::steady_clock;

/// Beyond that the database has been away for long, and an administrator has to be told at once.
constexpr std::size_t entries_max = 4'096;
constexpr std::size_t file_bytes_max = entries_max * 4'096;
constexpr std::size_t sessions_max = 1'000'000;

Kind kind_of(DeviceAct act) {
    return act == DeviceAct::lock   ? Kind::device_locked
           : act == DeviceAct::lose ? Kind::device_lost
                                    : Kind::device_unbound;
}

/// The session as it goes on record; without its token's hash.
std::string describe(const auth::Session& session) {
    return "{\"session_id\":" + base::json_quote(session.id) +
           ",\"account_id\":" + base::json_quote(session.account_id) +
           ",\"client_ip\":" + base::json_quote(session.client_ip) +
           ",\"created_at\":" + base::json_quote(base::format_rfc3339(session.created_at)) + "}";
}

grpc::Status not_durable(const std::string& why, bool kept) {
    return {grpc::StatusCode::FAILED_PRECONDITION,
            "cut off at this gateway, but the database has not taken it (" + why +
                "); it stays cut off here and is tried again until it has" +
                (kept ? ", also after a restart" : "; it could NOT be kept for a restart: see the gateway's log") +
                ". Other gateways do not know of it before"};
}

/// What is in the file; nothing where there is none.
Result<std::vector<Revocation>> read_file(const std::string& path) {
    if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) return std::vector<Revocation>{};
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf() || file.peek() == std::ifstream::traits_type::eof()))
        return Error{Errc::failed_precondition, path + " cannot be read"};
    if (text.str().size() > file_bytes_max)
        return Error{Errc::data_loss, path + " is larger than this program writes it"};
    auto revocations = parse_revocations(text.str());
    if (!revocations)
        return Error{revocations.error().code, path + ": " + revocations.error().message +
                                                   "; it holds who is to be cut off, so mend it or carry out by hand "
                                                   "what it says before moving it away"};
    return revocations;
}

}  // namespace

Revocations::Revocations(Parts parts) : parts_(std::move(parts)) {}

Revocations::~Revocations() { stop(); }

Result<std::unique_ptr<Revocations>> Revocations::open(Parts parts) {
    std::unique_ptr<Revocations> made(new Revocations(std::move(parts)));
    auto revocations = read_file(made->parts_.file);
    if (!revocations) return std::move(revocations).error();
    made->add(std::move(*revocations));
    made->put_in_force();
    if (!made->entries_.empty())
        base::log_warning("revocations of before the start are to be brought into the database",
                          {{"revocations", made->entries_.size()}});
    return made;
}

Result<void> Revocations::read_again() {
    auto revocations = read_file(parts_.file);
    if (!revocations) {
        const auto aside = parts_.file + ".unread";
        auto error = std::move(revocations).error();
        error.message += std::rename(parts_.file.c_str(), aside.c_str()) == 0 ? "; it is " + aside + " now"
                                                                              : "; it could not be moved aside";
        write_pending();
        return error;
    }
    add(std::move(*revocations));
    put_in_force();
    write_pending();
    return {};
}

/// What is pending here may not be in the file, which is another process's.
void Revocations::write_pending() {
    std::lock_guard telling(telling_mutex_);
    if (auto kept = keep(nullptr); !kept)
        base::log_error("the file of pending revocations could not be written", {{"error", kept.error().message}});
}

/// Those that are not here already.
void Revocations::add(std::vector<Revocation> revocations) {
    std::lock_guard lock(mutex_);
    for (auto& revocation : revocations) {
        const auto is_it = [&](const EntryPtr& entry) { return entry->revocation == revocation; };
        if (std::any_of(entries_.begin(), entries_.end(), is_it)) continue;
        auto entry = std::make_shared<Entry>();
        entry->change = {revocation.action, revocation.resource, {}, {}};
        entry->caller.actor = revocation.actor;
        entry->caller.account_id = revocation.actor_id;
        entry->caller.role = auth::Role::administrator;
        entry->revocation = std::move(revocation);
        entry->cut = entry->ready = true;
        entry->told = true;
        entries_.push_back(std::move(entry));
    }
}

void Revocations::start() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = false;
    }
    if (!keeper_.joinable()) {
        keeper_ = std::thread([this] {
            pthread_setname_np(pthread_self(), "revocations");
            run();
        });
    }
    if (!watcher_.joinable()) {
        watcher_ = std::thread([this] {
            pthread_setname_np(pthread_self(), "revoke-watch");
            watch();
        });
    }
}

void Revocations::stop() {
    std::vector<EntryPtr> waiting;
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        waiting.assign(entries_.begin(), entries_.end());
    }
    changed_.notify_all();
    if (watcher_.joinable()) watcher_.join();
    for (const auto& entry : waiting) leave(entry);
    if (keeper_.joinable()) keeper_.join();
}

/// A gateway that stops in the middle must not forget it.
void Revocations::leave(const EntryPtr& entry) {
    if (entry->cut) overdue(entry, "the gateway is stopping");
    answer(entry, stopping(), nullptr);
}

std::size_t Revocations::pending() const {
    std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(entries_.begin(), entries_.end(), [](const auto& entry) { return entry->told.load(); }));
}

void Revocations::disable_account(const std::string& username, const Caller& caller, Answer answer) {
    const auto snapshot = parts_.directory.snapshot();
    const auto* account = snapshot->account_by_username(username);
    // Unknown here, or disabled already: there is nothing to be cut off beforehand.
    const bool cut = account != nullptr && account->status == auth::AccountStatus::active;
    Revocation revocation;
    revocation.kind = Kind::account_disabled;
    Change change{"account.disable", "accounts/" + username, {}, {}};
    if (account != nullptr) revocation.id = revocation.account_id = account->id;
    if (cut) {
        auto after = *account;
        after.status = auth::AccountStatus::disabled;
        change.before_json = auth::to_json(*account);
        change.after_json = auth::to_json(after);
    }
    order(std::move(revocation), std::move(change), caller, cut, username, std::move(answer));
}

void Revocations::delete_account(const std::string& username, const Caller& caller, Answer answer) {
    const auto snapshot = parts_.directory.snapshot();
    const auto* account = snapshot->account_by_username(username);
    if (account == nullptr) return answer(to_status(no_account(username), "account.delete"), nullptr);
    Revocation revocation;
    revocation.kind = Kind::account_deleted;
    revocation.id = revocation.account_id = account->id;
    order(std::move(revocation), {"account.delete", "accounts/" + username, auth::to_json(*account), {}}, caller, true,
          username, std::move(answer));
}

void Revocations::change_device(const std::string& device_id, DeviceAct act, const Caller& caller, Answer answer) {
    const auto snapshot = parts_.devices.snapshot();
    const auto* device = snapshot->by_id(device_id);
    const auto next = device != nullptr ? auth::after(act, device->state) : std::nullopt;
    const bool cut = next && *next != device->state;
    Revocation revocation;
    revocation.kind = kind_of(act);
    revocation.id = device_id;
    Change change{std::string(auth::to_action(act)), "devices/" + device_id, {}, {}};
    if (cut) {
        revocation.account_id = device->account_id;
        revocation.device_key = device->key_sha256;
        auto after = *device;
        after.state = *next;
        change.before_json = auth::to_json(*device);
        change.after_json = auth::to_json(after);
    }
    order(std::move(revocation), std::move(change), caller, cut, {}, std::move(answer));
}

void Revocations::revoke_session(const std::string& session_id, const Caller& caller, Answer answer) {
    const auto session = parts_.sessions.find(session_id);
    if (!session || covers(*session)) {
        const Error error{Errc::not_found,
                          "session '" + base::escape_for_terminal(session_id, 100) + "' does not exist"};
        return answer(to_status(error, "session.revoke"), nullptr);
    }
    Revocation revocation;
    revocation.kind = Kind::session;
    revocation.id = session->id;
    revocation.account_id = session->account_id;
    order(std::move(revocation), {"session.revoke", "sessions/" + session->id, describe(*session), {}}, caller, true,
          {}, std::move(answer));
}

void Revocations::revoke_sessions_of(const std::string& username, const Caller& caller, Answer answer) {
    const auto snapshot = parts_.directory.snapshot();
    const auto* account = snapshot->account_by_username(username);
    if (account == nullptr) return answer(to_status(no_account(username), "session.revoke"), nullptr);
    Revocation revocation;
    revocation.kind = Kind::sessions_of;
    revocation.id = revocation.account_id = account->id;
    order(std::move(revocation), {"session.revoke", "accounts/" + username, {}, {}}, caller, true, {},
          std::move(answer));
}

/// On record, in force, and then on its way into the database.
void Revocations::order(Revocation revocation, Change change, const Caller& caller, bool cut, std::string name,
                        Answer answer) {
    auto entry = std::make_shared<Entry>();
    entry->revocation = std::move(revocation);
    entry->change = std::move(change);
    entry->caller = caller;
    entry->answer = std::move(answer);
    entry->name = std::move(name);
    auto& r = entry->revocation;
    r.at = parts_.clock.utc();
    r.action = entry->change.action;
    r.resource = entry->change.resource;
    r.actor = caller.actor;
    r.actor_id = caller.account_id;
    {
        std::lock_guard lock(mutex_);
        if (stopping_) return entry->answer(stopping(), nullptr);
        if (entries_.size() >= entries_max) return entry->answer(overloaded(), nullptr);
    }
    if (cut) {
        auto recorded = AdminRecorder::note(parts_.journal, caller, entry->change, Outcome::DONE, {});
        if (!recorded) return entry->answer(to_status(recorded.error(), r.action), nullptr);
    }
    entry->cut = cut;
    if (cut) entry->sessions = covered(r);
    {
        std::lock_guard lock(mutex_);
        entries_.push_back(entry);
    }
    std::uint64_t closed = 0;
    if (cut) {
        put_in_force();
        for (const auto& id : entry->sessions)
            if (parts_.session_ended) parts_.session_ended(id);
        closed = parts_.enforce_known(affected_by(r));
    }
    bool stopped = false, away = false;
    {
        std::lock_guard lock(mutex_);
        entry->closed = closed;
        entry->answer_by = steady_clock::now() + parts_.answer_within;
        entry->ready = true;
        stopped = stopping_;
        away = away_;
    }
    changed_.notify_all();
    if (stopped)
        leave(entry);
    else if (away && cut)
        overdue(entry, "it was away a moment ago");  // waiting would only lengthen the time in which it is in no file
}

/// The sessions that it is about, as far as they are known here.
std::vector<std::string> Revocations::covered(const Revocation& r) const {
    if (r.kind == Kind::session) return {r.id};
    std::vector<std::string> ids;
    for (const auto& session : parts_.sessions.list(r.account_id, "", sessions_max))
        if (!r.device_key || session->device_key == r.device_key) ids.push_back(session->id);
    return ids;
}

void Revocations::put_in_force() {
    std::lock_guard lock(mutex_);
    CutOff::Subjects subjects;
    for (const auto& entry : entries_) {
        if (!entry->cut) continue;
        const auto& r = entry->revocation;
        switch (r.kind) {
            case Kind::session:
                subjects.sessions.insert(r.id);
                break;
            case Kind::sessions_of: {
                subjects.sessions.insert(entry->sessions.begin(), entry->sessions.end());
                auto& until = subjects.sessions_until.try_emplace(r.account_id, r.at).first->second;
                until = std::max(until, r.at);
                break;
            }
            case Kind::account_disabled:
            case Kind::account_deleted:
                subjects.accounts.insert(r.id);
                break;
            case Kind::device_locked:
            case Kind::device_lost:
            case Kind::device_unbound:
                if (r.device_key) subjects.devices.insert(*r.device_key);
        }
    }
    parts_.cut_off.set(std::move(subjects));
}

void Revocations::answer(const EntryPtr& entry, grpc::Status status, const Done* done) {
    Answer how;
    {
        std::lock_guard lock(mutex_);
        how = std::exchange(entry->answer, nullptr);
    }
    if (how) how(std::move(status), done);
}

/// The database has not taken it: that goes on record and into the file, once, and whoever waits is told.
void Revocations::overdue(const EntryPtr& entry, const std::string& why) {
    if (!entry->cut) {
        return answer(entry,
                      {grpc::StatusCode::DEADLINE_EXCEEDED, "the database does not answer; nothing was done so far"},
                      nullptr);
    }
    std::unique_lock telling(telling_mutex_);
    {
        std::lock_guard lock(mutex_);
        const bool gone = std::find(entries_.begin(), entries_.end(), entry) == entries_.end();
        if (gone || entry->told.exchange(true)) return;
    }
    const auto kept = keep(nullptr);
    if (!kept)
        base::log_error("a revocation could not be kept for a restart",
                        {{"id", entry->revocation.id}, {"error", kept.error().message}});
    base::log_warning("a revocation is in force here, and the database has not taken it; it is tried until it has",
                      {{"action", entry->revocation.action}, {"id", entry->revocation.id}, {"why", why}});
    auto noted = AdminRecorder::note(parts_.journal, entry->caller, entry->change, Outcome::FAILED,
                                     "cut off at this gateway; the database has not taken it: " + why);
    if (!noted) base::log_error("a revocation could not be recorded", {{"error", noted.error().message}});
    telling.unlock();
    answer(entry, not_durable(why, kept.ok()), nullptr);
}

/// Writes the file as it has to be now, without `gone`; telling_mutex_ is held.
Result<void> Revocations::keep(const EntryPtr& gone) {
    std::string text;
    {
        std::lock_guard lock(mutex_);
        for (const auto& entry : entries_)
            if (entry->told && entry != gone) text += to_line(entry->revocation) + "\n";
    }
    return write_file_atomically(parts_.file, text, 0600);
}

/// The thread that answers in time.
void Revocations::watch() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        auto next = steady_clock::now() + std::chrono::seconds{1};
        EntryPtr late;
        for (const auto& entry : entries_) {
            if (!entry->answer || !entry->ready) continue;
            if (entry->answer_by <= steady_clock::now()) late = entry;
            next = std::min(next, entry->answer_by);
        }
        if (!late) {
            changed_.wait_until(lock, next);
            continue;
        }
        lock.unlock();
        overdue(late, "it does not answer");
        lock.lock();
    }
}

/// Takes it off the list, and tells the record how it ended where it had told otherwise, or `always`.
void Revocations::finish(const EntryPtr& entry, Outcome::Value outcome, const std::string& detail, bool always) {
    // While this is held nobody else tells anything. It is pending until file and record say that it is not.
    std::lock_guard telling(telling_mutex_);
    const bool told = entry->told;
    if (told) {
        base::log_info("a revocation is pending no more",
                       {{"action", entry->revocation.action}, {"id", entry->revocation.id}, {"outcome", detail}});
        if (auto kept = keep(entry); !kept)
            base::log_error("the file of pending revocations could not be written", {{"error", kept.error().message}});
    }
    if (told || always) {
        auto noted = AdminRecorder::note(parts_.journal, entry->caller, entry->change, outcome, detail);
        if (!noted) base::log_error("a revocation could not be recorded", {{"error", noted.error().message}});
    }
    {
        std::lock_guard lock(mutex_);
        entries_.remove(entry);
    }
    put_in_force();
}

bool Revocations::pending_on(std::string_view id) const {
    std::lock_guard lock(mutex_);
    return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) {
        const auto& r = entry->revocation;
        return entry->cut && r.id == id && r.kind != Kind::session && r.kind != Kind::sessions_of;
    });
}

}  // namespace usher::gateway::control
