// account delete

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "usher/v1/account.grpc.pb.h"
#include "usher/v1/device.grpc.pb.h"
#include "usher/v1/resource.grpc.pb.h"
#include "usher/v1/session.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

std::string counted(std::uint64_t count, const std::string& one, const std::string& many) {
    return std::to_string(count) + " " + (count == 1 ? one : many);
}

/// What goes with an account, as the gateway that was asked knows it.
class Consequences {
public:
    Consequences(const ControlChannel& channel, const std::string& username) : channel_(channel) {
        get_account(username);
        count_sessions();
        count_devices();
        find_policies();
    }

    std::string text() const {
        std::string out = "account " + base::escape_for_terminal(account_.username(), 100);
        if (!account_.display_name().empty())
            out += " (" + base::escape_for_terminal(account_.display_name(), 100) + ")";
        out += " goes for good, and with it end " + counted(sessions_, "session", "sessions") + ", " +
               counted(accesses_, "open access", "open accesses") + " and " +
               counted(devices_, "enrolled device", "enrolled devices") + ".\nWhat it did stays on record.\n";
        if (!policies_.empty())
            out +=
                "Policies that name it keep doing so, and would count for another account of this name: " + policies_ +
                ".\n";
        return out;
    }

private:
    void get_account(const std::string& username) {
        v1::GetAccountRequest request;
        request.set_name("accounts/" + username);
        grpc::ClientContext context;
        channel_.prepare(context);
        channel_.require(v1::AccountService::NewStub(channel_.channel())->GetAccount(&context, request, &account_));
    }

    /// Calls `page` with one token after the other until there is no further page.
    template <class Page>
    void each_page(Page page) {
        std::string token;
        do {
            grpc::ClientContext context;
            channel_.prepare(context);
            std::string next = page(context, token);
            if (!next.empty() && next == token) throw Failure{"the gateway gave the same page twice"};
            token = std::move(next);
        } while (!token.empty());
    }

    void count_sessions() {
        const auto stub = v1::SessionService::NewStub(channel_.channel());
        each_page([&](grpc::ClientContext& context, const std::string& token) {
            v1::ListSessionsRequest request;
            request.set_account(account_.username());
            request.set_page_size(page_size);
            request.set_page_token(token);
            v1::ListSessionsResponse response;
            channel_.require(stub->ListSessions(&context, request, &response));
            for (const auto& session : response.sessions()) {
                ++sessions_;
                accesses_ += session.open_accesses();
            }
            return response.next_page_token();
        });
    }

    void count_devices() {
        const auto stub = v1::DeviceService::NewStub(channel_.channel());
        each_page([&](grpc::ClientContext& context, const std::string& token) {
            v1::ListDevicesRequest request;
            request.set_account(account_.username());
            request.set_page_size(page_size);
            request.set_page_token(token);
            v1::ListDevicesResponse response;
            channel_.require(stub->ListDevices(&context, request, &response));
            devices_ += static_cast<std::uint64_t>(response.devices_size());
            return response.next_page_token();
        });
    }

    void find_policies() {
        const auto names = [&](const auto& rules) {
            return std::any_of(rules.begin(), rules.end(), [&](const auto& rule) {
                const auto& accounts = rule.accounts();
                return std::find(accounts.begin(), accounts.end(), account_.username()) != accounts.end();
            });
        };
        const auto stub = v1::ResourceService::NewStub(channel_.channel());
        each_page([&](grpc::ClientContext& context, const std::string& token) {
            v1::ListPoliciesRequest request;
            request.set_page_size(page_size);
            request.set_page_token(token);
            v1::ListPoliciesResponse response;
            channel_.require(stub->ListPolicies(&context, request, &response));
            for (const auto& policy : response.policies())
                if (names(policy.allow()) || names(policy.deny()))
                    policies_ += (policies_.empty() ? "" : ", ") + base::escape_for_terminal(policy.name(), 100);
            return response.next_page_token();
        });
    }

    const ControlChannel& channel_;
    v1::Account account_;
    std::uint64_t sessions_ = 0, accesses_ = 0, devices_ = 0;
    std::string policies_;
};

/// Asks where a person sits at both ends; a script has said what it wants.
bool agreed() {
    if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) return true;
    print("Delete it? [y/N] ");
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace

void add_account_delete(CLI::App* account, const Settings& settings) {
    auto* command = account->add_subcommand(
        "delete",
        "Delete an account: its sessions and accesses end at once. Says first what that is, and asks at a terminal");
    auto username = std::make_shared<std::string>();
    auto dry_run = std::make_shared<bool>(false);
    auto yes = std::make_shared<bool>(false);
    command->add_option("USERNAME", *username, "The account")->required();
    command->add_flag("--dry-run", *dry_run, "Say what would end, and delete nothing");
    command->add_flag("-y,--yes", *yes, "Do not ask");
    command->footer(examples({"usherctl account delete alice --dry-run", "usherctl account delete alice --yes"}));
    command->callback([=, &settings] {
        const auto channel = open_channel(settings);
        print(Consequences(*channel, *username).text());
        if (*dry_run) return;
        if (!*yes && !agreed()) throw Failure{"nothing was deleted"};
        v1::DeleteAccountRequest request;
        request.set_name("accounts/" + *username);
        grpc::ClientContext context;
        channel->prepare(context);
        google::protobuf::Empty response;
        channel->require(v1::AccountService::NewStub(channel->channel())->DeleteAccount(&context, request, &response));
        print("account " + base::escape_for_terminal(*username, 100) + " deleted\n");
    });
}

}  // namespace usher::clients::control
