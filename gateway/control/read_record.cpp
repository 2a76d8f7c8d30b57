#include "gateway/control/read_record.hpp"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include "audit/audit.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"

namespace usher::gateway::control {
namespace {

using usher::v1::AdminRecord;

/// A filter has at most 4 KiB, which JSON may make twice as many, and a cursor as much; all else is short.
constexpr std::size_t request_bytes_max = 16u << 10;
constexpr std::size_t why_bytes_max = 200;

AdminRecord make(const Caller& caller, const AuditRead& read) {
    AdminRecord record = record_of(caller);
    record.set_action(read.action);
    record.set_resource(read.resource);
    record.set_count(read.count);
    record.set_outcome(AdminRecord::Outcome::DONE);
    return record;
}

}  // namespace

base::Result<void> record_read(audit::Journal& journal, const Caller& caller, const AuditRead& read,
                               const google::protobuf::Message& request) {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(request, &json, options).ok())
        return {base::Errc::invalid_argument, "the request: cannot be put on record"};
    if (json.size() > request_bytes_max)
        return {base::Errc::invalid_argument, "the request: is longer than " + std::to_string(request_bytes_max) +
                                                  " bytes as JSON, and could not be put on record whole"};
    auto record = make(caller, read);
    record.set_request_json(std::move(json));
    auto appended = journal.append_and_wait(audit::encode(record));
    if (!appended) return std::move(appended).error();
    return {};
}

void record_tail_end(audit::Journal& journal, const Caller& caller, std::uint64_t events, const std::string& why) {
    auto record = make(caller, {"audit.tail-end", "events", events});
    record.set_detail(base::escape_for_terminal(why, why_bytes_max));
    journal.append(audit::encode(record), [](const base::Result<std::uint64_t>& appended) {
        if (!appended)
            base::log_error("the end of a tail could not be recorded", {{"error", appended.error().message}});
    });
}

}  // namespace usher::gateway::control
