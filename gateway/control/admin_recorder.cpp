#include "gateway/control/admin_recorder.hpp"

#include <algorithm>

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace usher::gateway::control {
namespace {

using usher::v1::AdminRecord;

/// A resource is a caller's text where a call was refused: bounded and printable.
constexpr std::size_t resource_bytes_max = 200;

AdminRecord make(const Caller& caller, const auth::Change& change, AdminRecord::Outcome::Value outcome) {
    AdminRecord record = record_of(caller);
    record.set_action(change.action);
    record.set_resource(change.resource);
    record.set_before_json(change.before_json);
    record.set_after_json(change.after_json);
    record.set_outcome(outcome);
    return record;
}

/// Auditors read the record: it names the kind of failure; the operator's log has the text.
std::string describe(const base::Error& error) {
    switch (error.code) {
        case base::Errc::invalid_argument:
        case base::Errc::not_found:
        case base::Errc::already_exists:
        case base::Errc::failed_precondition:
            return base::escape_for_terminal(error.message, 400);
        case base::Errc::unavailable:
            return error.message.find("commit unknown") != std::string::npos
                       ? "the database went away during the commit; it is not known whether it kept the change"
                       : "the database was away";
        case base::Errc::resource_exhausted:
            return "a limit of the gateway or its disk was reached";
        case base::Errc::deadline_exceeded:
            return "the database took too long";
        case base::Errc::data_loss:
            return "stored data is damaged";
        default:
            return "internal error";
    }
}

}  // namespace

AdminRecord record_of(const Caller& caller) {
    AdminRecord record;
    record.set_actor(caller.actor);
    record.set_actor_account_id(caller.account_id);
    if (caller.session) record.set_actor_session_id(caller.session->id);
    record.set_client_ip(caller.client_ip);
    return record;
}

base::Result<void> AdminRecorder::record(const auth::Change& change) {
    const auto earlier = std::find_if(announced_.begin(), announced_.end(), [&](const auth::Change& other) {
        return other.action == change.action && other.resource == change.resource;
    });
    if (earlier != announced_.end()) {
        if (earlier->before_json == change.before_json && earlier->after_json == change.after_json) return {};
        append_failed(*earlier, "the transaction met another one and ran again");
        announced_.erase(earlier);
    }
    auto appended = journal_.append_and_wait(audit::encode(make(caller_, change, AdminRecord::Outcome::DONE)));
    if (!appended) return std::move(appended).error();
    announced_.push_back(change);
    return {};
}

auth::RecordChange AdminRecorder::callback() {
    return [this](const auth::Change& change) { return record(change); };
}

base::Error AdminRecorder::failed(base::Error why) {
    for (const auto& change : announced_) append_failed(change, describe(why));
    announced_.clear();
    return why;
}

void AdminRecorder::append_failed(const auth::Change& change, const std::string& detail) {
    auto record = make(caller_, change, AdminRecord::Outcome::FAILED);
    record.set_detail(detail);
    if (auto appended = journal_.append_and_wait(audit::encode(record)); !appended) {
        base::log_error("an act that failed could not be recorded as failed",
                        {{"action", change.action}, {"error", appended.error().message}});
    }
}

base::Result<void> AdminRecorder::note(audit::Journal& journal, const Caller& caller, const auth::Change& change,
                                       AdminRecord::Outcome::Value outcome, const std::string& detail) {
    auto record = make(caller, change, outcome);
    record.set_detail(detail);
    auto appended = journal.append_and_wait(audit::encode(record));
    if (!appended) return std::move(appended).error();
    return {};
}

void AdminRecorder::refused(audit::Journal& journal, const Caller& caller, std::string action, std::string resource) {
    const auth::Change change{std::move(action), base::escape_for_terminal(resource, resource_bytes_max), {}, {}};
    auto record = make(caller, change, AdminRecord::Outcome::REFUSED);
    record.set_detail("the caller's role does not allow it");
    if (auto appended = journal.append_and_wait(audit::encode(record)); !appended) {
        base::log_error("a refused act could not be recorded",
                        {{"action", change.action}, {"error", appended.error().message}});
    }
}

}  // namespace usher::gateway::control
