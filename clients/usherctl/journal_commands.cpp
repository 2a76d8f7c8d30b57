// journal inspect|repair: the journal's own files, without a gateway

#include "audit/audit.hpp"
#include "audit/journal/inspect.hpp"
#include "audit/journal/repair.hpp"
#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "usher/v1/journal.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;
namespace journal = usher::audit::journal;

constexpr std::array<const char*, 8> event_names{"",       "OPENED", "PROGRESS", "CLOSED",
                                                 "DENIED", "ADMIN",  "SESSION",  "SYSTEM"};

v1::JournalInspection::Finding::Kind::Value to_proto(journal::Finding::Kind kind) {
    using Kind = v1::JournalInspection::Finding::Kind;
    switch (kind) {
        case journal::Finding::Kind::corrupt:
            return Kind::CORRUPT;
        case journal::Finding::Kind::newer:
            return Kind::NEWER;
        case journal::Finding::Kind::torn:
            return Kind::TORN;
        case journal::Finding::Kind::remnant:
            return Kind::REMNANT;
    }
    return Kind::UNSPECIFIED;
}

v1::JournalInspection to_proto(const journal::Inspection& seen, const std::string& directory) {
    v1::JournalInspection out;
    out.set_directory(directory);
    if (!seen.gateway.is_nil()) out.set_gateway_id(seen.gateway.to_string());
    out.set_records(seen.records);
    out.set_first_sequence(seen.first);
    out.set_last_sequence(seen.last);
    if (seen.records > 0) {
        *out.mutable_first_recorded_at() = to_timestamp(seen.first_at);
        *out.mutable_last_recorded_at() = to_timestamp(seen.last_at);
    }
    out.set_open_accesses(seen.open_accesses);
    for (std::size_t type = 1; type < seen.by_type.size(); ++type) {
        auto* count = out.add_events();
        count->set_event(event_names[type]);
        count->set_records(seen.by_type[type]);
    }
    for (const auto& segment : seen.segments) {
        auto* to = out.add_segments();
        to->set_file(segment.file);
        to->set_size_bytes(segment.bytes);
        to->set_first_sequence(segment.first);
        to->set_last_sequence(segment.last);
        to->set_records(segment.records);
        to->set_end_offset(segment.end);
        if (segment.records == 0) continue;
        *to->mutable_first_recorded_at() = to_timestamp(segment.first_at);
        *to->mutable_last_recorded_at() = to_timestamp(segment.last_at);
    }
    for (const auto& finding : seen.findings) {
        auto* to = out.add_findings();
        to->set_kind(to_proto(finding.kind));
        to->set_file(finding.file);
        to->set_offset(finding.offset);
        to->set_end_offset(finding.end);
        to->set_first_missing(finding.first_missing);
        to->set_last_missing(finding.last_missing);
        to->set_found(finding.found);
    }
    out.set_corrupt(seen.refused());
    return out;
}

std::string finding_line(const v1::JournalInspection::Finding& finding) {
    using Kind = v1::JournalInspection::Finding::Kind;
    std::string line = base::to_lower(Kind::Value_Name(finding.kind())) + ": " + finding.file() + ": offset " +
                       std::to_string(finding.offset()) + " to " + std::to_string(finding.end_offset()) + ": ";
    if (finding.kind() == Kind::TORN) line += "a write that was cut short or is under way: ";
    line += finding.found();
    if (finding.first_missing() != 0) {
        line += "; missing: record " + std::to_string(finding.first_missing());
        if (finding.last_missing() != finding.first_missing()) line += " to " + std::to_string(finding.last_missing());
    }
    return base::escape_for_terminal(line, 1000) + "\n";
}

std::string tables_of(const v1::JournalInspection& seen) {
    KeyValues rows;
    rows.add("gateway", seen.gateway_id().empty() ? "unknown" : seen.gateway_id());
    rows.add("records", std::to_string(seen.records()));
    if (seen.records() > 0) {
        rows.add("sequences", std::to_string(seen.first_sequence()) + " to " + std::to_string(seen.last_sequence()));
        rows.add("recorded",
                 shown_time(true, seen.first_recorded_at()) + " to " + shown_time(true, seen.last_recorded_at()));
    }
    std::string events;
    for (const auto& count : seen.events())
        if (count.records() > 0)
            events += (events.empty() ? "" : ", ") + count.event() + " " + std::to_string(count.records());
    rows.add("events", events);
    rows.add("open accesses", std::to_string(seen.open_accesses()));
    rows.add("state", seen.corrupt() ? "corrupt: no gateway starts on it" : "in order");
    std::string out = rows.render() + "\n";
    Table table({{"SEGMENT"},
                 {"FIRST", true},
                 {"LAST", true},
                 {"RECORDS", true},
                 {"USED", true},
                 {"SIZE", true},
                 {"RECORDED"}});
    for (const auto& segment : seen.segments())
        table.add({segment.file(), std::to_string(segment.first_sequence()), std::to_string(segment.last_sequence()),
                   std::to_string(segment.records()), human_bytes(segment.end_offset()),
                   human_bytes(segment.size_bytes()),
                   segment.records() == 0 ? std::string("-")
                                          : shown_time(true, segment.first_recorded_at()) + " to " +
                                                shown_time(true, segment.last_recorded_at())});
    out += table.render();
    for (const auto& finding : seen.findings()) out += finding_line(finding);
    return out;
}

/// Errors that are about the directory that was named are wrong usage.
template <class T>
T must_find(base::Result<T> result) {
    if (!result && result.error().code == base::Errc::not_found) throw Failure{result.error().message, exit_usage};
    return must(std::move(result));
}

void print_event(const base::Uuid& gateway, const journal::RecordView& record) {
    auto event = audit::decode(gateway, record.to_record());
    if (event)
        print(to_json_line(*event));
    else
        complain("usherctl", event.error().message);
}

void inspect(const std::string& directory, const std::string& format, bool events) {
    base::Uuid gateway;
    if (events) {
        // The first look finds out whose journal it is.
        gateway = must_find(journal::inspect(journal::system_disk(), directory, {})).gateway;
    }
    journal::Visit visit;
    if (events) visit = [&](const journal::RecordView& record) { print_event(gateway, record); };
    const auto seen = must_find(journal::inspect(journal::system_disk(), directory, visit));
    const auto message = to_proto(seen, directory);
    if (events) {
        for (const auto& finding : message.findings()) {
            std::string line = finding_line(finding);
            line.pop_back();
            complain("usherctl", line);
        }
    } else {
        print(format == "json" ? to_json_line(message) : tables_of(message));
    }
    if (seen.refused())
        throw Failure{directory + ": the journal is corrupt; 'usherctl journal repair " + directory +
                      "' says what can be saved"};
}

void repair(const std::string& directory, const journal::RepairOptions& options) {
    const auto done = must_find(journal::repair(journal::system_disk(), directory, options, base::SystemClock{}));
    if (done.empty()) {
        print("nothing to repair\n");
        return;
    }
    std::string out;
    for (const auto& file : done) {
        for (const auto& loss : file.losses) out += base::escape_for_terminal(loss, 1000) + "\n";
        if (!file.kept_as.empty())
            out += file.file + ": " + std::to_string(file.saved) + " records saved, " + std::to_string(file.lost) +
                   " marked as lost\n";
    }
    print(out);
    if (!options.accept_loss) throw Failure{"nothing was changed; --accept-loss does it"};
    print("repaired; the gateway can be started\n");
}

}  // namespace

void add_journal_commands(CLI::App& app) {
    auto* group = app.add_subcommand("journal", "Look at a gateway's journal files, without the gateway");
    group->require_subcommand(1);
    group->footer(examples({"usherctl journal inspect data/journal", "usherctl journal repair data/journal"}));
    {
        auto* command = group->add_subcommand(
            "inspect", "Read every record and say whether they are whole; exit code 1 when they are not");
        auto directory = std::make_shared<std::string>();
        auto events = std::make_shared<bool>(false);
        command->add_option("DIR", *directory, "The journal's directory, or a copy of it")->required();
        command->add_flag("--events", *events,
                          "Print the events themselves as JSON lines (personal data), and findings to standard error");
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl journal inspect data/journal",
                                  "usherctl journal inspect --events /mnt/evidence/journal > events.jsonl"}));
        command->callback([=] { inspect(*directory, *format, *events); });
    }
    {
        auto* command = group->add_subcommand(
            "repair", "Write damaged segments anew, with a CORRUPTION record for each record that is lost");
        auto directory = std::make_shared<std::string>();
        auto options = std::make_shared<journal::RepairOptions>();
        command->add_option("DIR", *directory, "The journal's directory; no gateway may be using it")->required();
        command->add_flag("--accept-loss", options->accept_loss, "Do it; without, only say what would be done");
        command
            ->add_option("--through", options->through,
                         "Mark records as lost up to this sequence: what the store has already, where the journal "
                         "ends before")
            ->type_name("SEQUENCE");
        command->footer(
            examples({"usherctl journal repair data/journal", "usherctl journal repair --accept-loss data/journal"}));
        command->callback([=] { repair(*directory, *options); });
    }
}

}  // namespace usher::clients::control
