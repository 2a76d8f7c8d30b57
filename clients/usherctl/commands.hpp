#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "audit/ocsf/ocsf.hpp"
#include "clients/common/program.hpp"
#include "clients/common/table.hpp"
#include "clients/usherctl/control_channel.hpp"
#include "clients/usherctl/output.hpp"
#include "clients/usherctl/resource_file.hpp"
#include "clients/usherctl/settings.hpp"
#include "clients/usherctl/views.hpp"

namespace usher::clients::control {

// Each adds its commands to the program's tree. A command's callback runs it and throws Failure where it fails.
// `settings` is what the global options say; it is complete when a callback runs.
void add_login_commands(CLI::App& app, const Settings& settings);
void add_account_commands(CLI::App& app, const Settings& settings);
void add_account_import(CLI::App* account, const Settings& settings);  ///< part of the account commands
void add_account_delete(CLI::App* account, const Settings& settings);  ///< likewise
void add_session_commands(CLI::App& app, const Settings& settings);
void add_device_commands(CLI::App& app, const Settings& settings);
void add_resource_commands(CLI::App& app, const Settings& settings);
void add_policy_commands(CLI::App& app, const Settings& settings);
void add_policy_change_commands(CLI::App& policy, const Settings& settings);  ///< part of the policy commands
void add_audit_commands(CLI::App& app, const Settings& settings);
void add_parked_commands(CLI::App& audit, const Settings& settings);  ///< part of the audit commands
void add_gateway_commands(CLI::App& app, const Settings& settings);
void add_sink_commands(CLI::App& app, const Settings& settings);
void add_retention_commands(CLI::App& app, const Settings& settings);
void add_journal_commands(CLI::App& app);

inline std::unique_ptr<ControlChannel> open_channel(const Settings& settings) {
    return ControlChannel::open(resolve_settings(settings));
}

/// "-o table|json|...": the first is the default.
inline std::shared_ptr<std::string> add_output(CLI::App* command, std::vector<std::string> formats) {
    auto format = std::make_shared<std::string>(formats.front());
    command->add_option("-o,--output", *format, "Form of the answer: table for people, the others for programs")
        ->check(CLI::IsMember(std::move(formats)))
        ->capture_default_str();
    return format;
}

inline std::string yaml_of(const usher::v1::App& app) { return to_yaml(app); }
inline std::string yaml_of(const usher::v1::Policy& policy) { return to_yaml(policy); }
inline std::string yaml_of(const usher::v1::Department& department) { return to_yaml(department); }
inline std::string yaml_of(const usher::v1::RetentionClass& retention_class) { return to_yaml(retention_class); }
inline std::string yaml_of(const usher::v1::Hold& hold) { return to_yaml(hold); }
inline std::string yaml_of(const google::protobuf::Message& message) { return to_yaml_document(message); }

/// Only records of the audit have a form in OCSF, and only their commands offer it.
inline std::string ocsf_of(const usher::v1::AccessRecord& access) { return audit::ocsf::to_ocsf(access) + "\n"; }
inline std::string ocsf_of(const google::protobuf::Message& message) { return to_json_line(message); }

/// Prints messages of one type as they come, page by page.
template <class Message>
class Listing {
public:
    explicit Listing(std::string format) : format_(std::move(format)), table_(columns_of(Message{})) {
        if (format_ == "csv") print(csv_header(*Message::descriptor()));
    }
    void add(const Message& message) {
        if (format_ == "json")
            print(to_json_line(message));
        else if (format_ == "yaml")
            print(yaml_of(message));
        else if (format_ == "csv")
            print(csv_row(message));
        else if (format_ == "ocsf")
            print(ocsf_of(message));
        else
            table_.add(cells_of(message));
    }
    void end_page() {
        if (format_ == "table") print(table_.render());
    }

private:
    std::string format_;
    Table table_;
};

/// Calls `next(token, page)` until there is no further page or `limit` messages were listed (0: all). `next` sends the
/// request and gives the token of the page behind it.
template <class Message, class Next>
void list_all(const std::string& format, std::uint64_t limit, Next next) {
    Listing<Message> listing(format);
    std::string token;
    std::uint64_t listed = 0;
    do {
        std::vector<Message> page;
        std::string following = next(token, page);
        for (const auto& message : page) {
            if (limit != 0 && listed == limit) break;
            listing.add(message);
            ++listed;
        }
        listing.end_page();
        if (limit != 0 && listed >= limit) return;
        if (!following.empty() && following == token) throw Failure{"the gateway gave the same page twice"};
        token = std::move(following);
    } while (!token.empty());
}

constexpr int page_size = 1000;

}  // namespace usher::clients::control
