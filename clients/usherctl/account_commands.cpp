// account create|list|show|update|disable|enable|set-password|second-factor

#include "base/text.hpp"
#include "clients/common/password.hpp"
#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/listings.hpp"
#include "clients/usherctl/role_words.hpp"
#include "usher/v1/account.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;
using Stub = v1::AccountService::Stub;

std::string shown(const std::string& username) { return base::escape_for_terminal(username, 100); }

/// What may be told of an account on the command line; what was not told is nullopt.
struct Fields {
    std::optional<std::string> display_name, department, office_mail, office_phone, employee_number, source, outside_id,
        role, valid_from, valid_until;
    std::optional<std::vector<std::string>> groups;
};

void add_fields(CLI::App* command, const std::shared_ptr<Fields>& fields) {
    command->add_option("--department", fields->department, "Department");
    command
        ->add_option_function<std::vector<std::string>>(
            "--group", [fields](const std::vector<std::string>& groups) { fields->groups = groups; },
            "A group; may be given more than once")
        ->allow_extra_args(false)
        ->type_name("TEXT");
    command->add_option("--role", fields->role, "What the account may do with the gateway itself")
        ->check(CLI::IsMember(all_role_words()));
    command->add_option("--display-name", fields->display_name, "The person's name");
    command->add_option("--mail", fields->office_mail, "Office mail address");
    command->add_option("--phone", fields->office_phone, "Office telephone");
    command->add_option("--employee-number", fields->employee_number, "No other account may have it");
    command->add_option("--source", fields->source,
                        "The directory of the enterprise that the account is kept in, such as hr; '': none");
    command->add_option("--outside-id", fields->outside_id, "What the source knows the account by; '': none");
    command->add_option("--valid-from", fields->valid_from,
                        "The account may do nothing before this time, such as 2026-12-01T00:00:00Z; '': no such bound");
    command->add_option("--valid-until", fields->valid_until,
                        "From this time on the account may do nothing; what is open then is cut; '': no such bound");
}

/// An empty text leaves the message without the time, which the field's name in the mask then takes away.
template <class Mutable>
bool fill_time(const std::optional<std::string>& text, const char* option, Mutable mutable_time) {
    if (!text) return false;
    if (text->empty()) return true;
    const auto time = base::parse_rfc3339(*text);
    if (!time) throw Failure{std::string(option) + ": expected a time such as 2026-12-01T00:00:00Z", exit_usage};
    *mutable_time() = to_timestamp(*time);
    return true;
}

/// Copies what was told into `account`; gives the names of those fields.
std::vector<std::string> fill(const Fields& fields, v1::Account& account) {
    std::vector<std::string> names;
    if (fields.display_name) {
        account.set_display_name(*fields.display_name);
        names.emplace_back("display_name");
    }
    if (fields.department) {
        account.set_department(*fields.department);
        names.emplace_back("department");
    }
    if (fields.office_mail) {
        account.set_office_mail(*fields.office_mail);
        names.emplace_back("office_mail");
    }
    if (fields.office_phone) {
        account.set_office_phone(*fields.office_phone);
        names.emplace_back("office_phone");
    }
    if (fields.employee_number) {
        account.set_employee_number(*fields.employee_number);
        names.emplace_back("employee_number");
    }
    if (fields.source) {
        account.set_source(*fields.source);
        names.emplace_back("source");
    }
    if (fields.outside_id) {
        account.set_outside_id(*fields.outside_id);
        names.emplace_back("outside_id");
    }
    if (fields.role) {
        account.set_role(role_from_word(*fields.role).value_or(v1::Role::EMPLOYEE));
        names.emplace_back("role");
    }
    if (fields.groups) {
        for (const auto& group : *fields.groups)
            if (!group.empty()) account.add_groups(group);  // --group '' empties the list
        names.emplace_back("groups");
    }
    if (fill_time(fields.valid_from, "--valid-from", [&] { return account.mutable_valid_from(); }))
        names.emplace_back("valid_from");
    if (fill_time(fields.valid_until, "--valid-until", [&] { return account.mutable_valid_until(); }))
        names.emplace_back("valid_until");
    return names;
}

/// Opens the channel, calls `method` with `request`, and gives its answer. Throws Failure.
template <class Request, class Response>
Response call(const Settings& settings, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
    const auto channel = open_channel(settings);
    const auto stub = v1::AccountService::NewStub(channel->channel());
    grpc::ClientContext context;
    channel->prepare(context);
    Response response;
    channel->require((stub.get()->*method)(&context, request, &response));
    return response;
}

void add_must_change(CLI::App* command, bool& must_change) {
    command->add_flag("--must-change-password", must_change,
                      "Its owner has to change it at the next sign-in; nothing else is possible before");
}

void add_create(CLI::App* group, const Settings& settings) {
    auto* command =
        group->add_subcommand("create", "Create an account; its password is asked for, or read from standard input");
    auto username = std::make_shared<std::string>();
    auto fields = std::make_shared<Fields>();
    auto from_stdin = std::make_shared<bool>(false);
    command->add_option("USERNAME", *username, "Letters of one script, digits, '.', '-' and '_'; case does not count")
        ->required();
    add_fields(command, fields);
    command->add_flag("--password-stdin", *from_stdin, "Read the password from the first line of standard input");
    auto must_change = std::make_shared<bool>(false);
    add_must_change(command, *must_change);
    command->footer(examples({"usherctl account create alice --department Finance --group staff",
                              "usherctl account create admin --role administrator --password-stdin < file"}));
    command->callback([=, &settings] {
        v1::CreateAccountRequest request;
        request.mutable_account()->set_username(*username);
        request.mutable_account()->set_role(v1::Role::EMPLOYEE);
        fill(*fields, *request.mutable_account());
        request.set_must_change_password(*must_change);
        const auto password = must(read_password("Password of " + shown(*username) + ": ", {*from_stdin, true}));
        request.set_password(std::string(password.reveal()));
        const auto account = call(settings, &Stub::CreateAccount, request);
        base::wipe(*request.mutable_password());
        print("account " + shown(account.username()) + " created\n");
    });
}

void add_update(CLI::App* group, const Settings& settings) {
    auto* command = group->add_subcommand("update", "Change an account; accesses that it may no longer have are cut");
    auto username = std::make_shared<std::string>();
    auto fields = std::make_shared<Fields>();
    command->add_option("USERNAME", *username, "The account")->required();
    add_fields(command, fields);
    command->footer(examples({"usherctl account update alice --department Sales --group staff --group sales",
                              "usherctl account update alice --group ''        # in no group any more"}));
    command->callback([=, &settings] {
        v1::UpdateAccountRequest request;
        request.mutable_account()->set_name("accounts/" + *username);
        const auto names = fill(*fields, *request.mutable_account());
        if (names.empty())
            throw Failure{
                "nothing to change: say --department, --group, --role, --display-name, --mail, --phone, "
                "--employee-number, --source, --outside-id, --valid-from or --valid-until",
                exit_usage};
        for (const auto& name : names) request.mutable_update_mask()->add_paths(name);
        call(settings, &Stub::UpdateAccount, request);
        print("account " + shown(*username) + " updated\n");
    });
}

void add_list(CLI::App* group, const Settings& settings) {
    auto* command = group->add_subcommand("list", "List all accounts");
    auto format = add_output(command, {"table", "json", "yaml"});
    command->footer(examples({"usherctl account list", "usherctl account list -o json"}));
    command->callback([=, &settings] { list_accounts(settings, *format); });
}

void add_show(CLI::App* group, const Settings& settings) {
    auto* command = group->add_subcommand("show", "Show one account");
    auto username = std::make_shared<std::string>();
    command->add_option("USERNAME", *username, "The account")->required();
    auto format = add_output(command, {"table", "json", "yaml"});
    command->footer(examples({"usherctl account show alice"}));
    command->callback([=, &settings] {
        v1::GetAccountRequest request;
        request.set_name("accounts/" + *username);
        const auto account = call(settings, &Stub::GetAccount, request);
        print(*format == "json"   ? to_json_line(account)
              : *format == "yaml" ? to_yaml_document(account)
                                  : details_of(account));
    });
}

/// A command that takes a username and nothing else.
template <class Request, class Response>
void add_simple(CLI::App* group, const Settings& settings, const std::string& name, const std::string& description,
                const std::string& done,
                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
    auto* command = group->add_subcommand(name, description);
    auto username = std::make_shared<std::string>();
    command->add_option("USERNAME", *username, "The account")->required();
    command->footer(examples({"usherctl account " + name + " alice"}));
    command->callback([=, &settings] {
        Request request;
        request.set_name("accounts/" + *username);
        call(settings, method, request);
        print("account " + shown(*username) + " " + done + "\n");
    });
}

void add_set_password(CLI::App* group, const Settings& settings) {
    auto* command = group->add_subcommand("set-password", "Set a new password; the account's sessions end");
    auto username = std::make_shared<std::string>();
    auto from_stdin = std::make_shared<bool>(false);
    command->add_option("USERNAME", *username, "The account")->required();
    command->add_flag("--password-stdin", *from_stdin, "Read the password from the first line of standard input");
    auto must_change = std::make_shared<bool>(false);
    add_must_change(command, *must_change);
    command->footer(examples(
        {"usherctl account set-password alice", "usherctl account set-password alice --must-change-password"}));
    command->callback([=, &settings] {
        v1::SetPasswordRequest request;
        request.set_must_change_password(*must_change);
        request.set_name("accounts/" + *username);
        const auto password = must(read_password("New password of " + shown(*username) + ": ", {*from_stdin, true}));
        request.set_password(std::string(password.reveal()));
        call(settings, &Stub::SetPassword, request);
        base::wipe(*request.mutable_password());
        print("password of " + shown(*username) + " set; its sessions are over\n");
    });
}

void add_second_factor(CLI::App* account, const Settings& settings) {
    auto* group = account->add_subcommand("second-factor", "Give an account a second factor, or take it away");
    group->require_subcommand(1);
    group->footer(examples({"usherctl account second-factor reset alice"}));
    {
        auto* command = group->add_subcommand(
            "enroll", "Enrol an authenticator app (TOTP) for somebody; what is shown is shown once");
        auto username = std::make_shared<std::string>();
        command->add_option("USERNAME", *username, "The account")->required();
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl account second-factor enroll alice"}));
        command->callback([=, &settings] {
            v1::EnrollSecondFactorRequest request;
            request.set_name("accounts/" + *username);
            const auto enrolled = call(settings, &Stub::EnrollSecondFactor, request);
            if (*format == "json") return print(to_json_line(enrolled));
            std::string text = "second factor of " + shown(*username) +
                               " enrolled; every sign-in asks for it now. Hand this over, by a safe way:\n\n  " +
                               base::escape_for_terminal(enrolled.uri()) + "\n\nand these recovery codes:\n\n";
            for (const auto& code : enrolled.recovery_codes()) text += "  " + base::escape_for_terminal(code) + "\n";
            print(text);
        });
    }
    {
        auto* command = group->add_subcommand(
            "reset", "Take the second factor and its recovery codes away; the account's sessions end");
        auto username = std::make_shared<std::string>();
        command->add_option("USERNAME", *username, "The account")->required();
        command->footer(examples({"usherctl account second-factor reset alice"}));
        command->callback([=, &settings] {
            v1::ResetSecondFactorRequest request;
            request.set_name("accounts/" + *username);
            call(settings, &Stub::ResetSecondFactor, request);
            print("second factor of " + shown(*username) + " reset; its sessions are over\n");
        });
    }
}

}  // namespace

void add_account_commands(CLI::App& app, const Settings& settings) {
    auto* group = app.add_subcommand("account", "Create, show and change accounts");
    group->require_subcommand(1);
    group->footer(examples({"usherctl account create alice --department Finance --group staff", "usherctl account list",
                            "usherctl account disable alice"}));
    add_create(group, settings);
    add_list(group, settings);
    add_show(group, settings);
    add_update(group, settings);
    add_simple(group, settings, "disable", "Disable an account: its sessions and accesses end at once", "disabled",
               &Stub::DisableAccount);
    add_simple(group, settings, "enable", "Enable a disabled account", "enabled", &Stub::EnableAccount);
    add_account_delete(group, settings);
    add_account_import(group, settings);
    add_set_password(group, settings);
    add_second_factor(group, settings);
}

}  // namespace usher::clients::control
