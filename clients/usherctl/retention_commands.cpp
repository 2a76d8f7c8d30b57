// retention status, retention run, retention pending, retention withdraw

#include <chrono>
#include <thread>

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "usher/v1/retention.grpc.pb.h"

namespace usher::clients::control {

namespace {

namespace v1 = usher::v1;

/// How often a run that is waited for is looked at.
constexpr std::chrono::milliseconds look_interval{300};

struct Retention {
    explicit Retention(const Settings& settings)
        : channel(open_channel(settings)), stub(v1::RetentionService::NewStub(channel->channel())) {}

    v1::RetentionStatus status() const {
        grpc::ClientContext context;
        channel->prepare(context);
        v1::RetentionStatus status;
        channel->require(stub->GetRetentionStatus(&context, v1::GetRetentionStatusRequest{}, &status));
        return status;
    }

    v1::RetentionRun run(bool dry_run, bool confirm) const {
        v1::RunRetentionRequest request;
        request.set_dry_run(dry_run);
        request.set_confirm(confirm);
        grpc::ClientContext context;
        channel->prepare(context);
        v1::RetentionRun run;
        channel->require(stub->RunRetention(&context, request, &run));
        return run;
    }

    /// The run as it is now; it goes on while it is RUNNING.
    v1::RetentionRun wait(v1::RetentionRun run) const {
        while (run.state() == v1::RetentionRun::State::RUNNING) {
            std::this_thread::sleep_for(look_interval);
            const auto now = status();
            const auto found = std::find_if(now.runs().begin(), now.runs().end(),
                                            [&](const auto& other) { return other.run_id() == run.run_id(); });
            if (found == now.runs().end()) throw Failure{"run " + run.run_id() + " is not in the status any more"};
            auto holds = run.holds();
            run = *found;
            *run.mutable_holds() = std::move(holds);
        }
        return run;
    }

    std::vector<v1::PendingOrder> pending() const {
        grpc::ClientContext context;
        channel->prepare(context);
        v1::ListPendingOrdersResponse response;
        channel->require(stub->ListPendingOrders(&context, v1::ListPendingOrdersRequest{}, &response));
        return {response.pending_orders().begin(), response.pending_orders().end()};
    }

    void withdraw(const std::string& order) const {
        v1::DeletePendingOrderRequest request;
        request.set_name("pending_orders/" + order);
        grpc::ClientContext context;
        channel->prepare(context);
        google::protobuf::Empty empty;
        channel->require(stub->DeletePendingOrder(&context, request, &empty));
    }

    std::unique_ptr<ControlChannel> channel;
    std::unique_ptr<v1::RetentionService::Stub> stub;
};

std::string state_name(const v1::RetentionRun& run) {
    return base::to_lower(v1::RetentionRun::State::Value_Name(run.state()));
}

void show_run(const v1::RetentionRun& run, const std::string& format) {
    if (format == "json") return print(to_json_line(run));
    Table counts({{"CLASS"}, {"OLDER THAN"}, {"REMOVABLE", true}, {"HELD", true}, {"REMOVED", true}});
    for (const auto& count : run.counts())
        counts.add({count.retention_class(), count.has_cutoff() ? shown_time(true, count.cutoff()) : "kept for ever",
                    std::to_string(count.removable()), std::to_string(count.held()), std::to_string(count.removed())});
    print(counts.render());
    Table holds({{"HOLD"}, {"KEEPS", true}});
    for (const auto& held : run.holds()) holds.add({held.hold(), std::to_string(held.records())});
    if (run.holds_size() > 0) print("\n" + holds.render());
    print("\n" + state_name(run) + (run.reason().empty() ? "" : ": " + base::escape_for_terminal(run.reason())) + "\n");
}

void show_status(const v1::RetentionStatus& status, const std::string& format) {
    if (format == "json") return print(to_json_line(status));
    Listing<v1::RetentionClass> classes("table");
    for (const auto& retention_class : status.classes()) classes.add(retention_class);
    classes.end_page();
    print("\nholds: " + std::to_string(status.holds()) + "\n");
    if (status.runs().empty()) return print("no run yet\n");
    Table runs({{"RUN", true}, {"STARTED"}, {"BY"}, {"STATE"}, {"REMOVED", true}, {"HELD", true}, {"REASON"}});
    for (const auto& run : status.runs()) {
        std::uint64_t removed = 0, held = 0;
        for (const auto& count : run.counts()) removed += count.removed(), held += count.held();
        runs.add({run.run_id(), shown_time(run.has_started_at(), run.started_at()), run.requested_by(), state_name(run),
                  std::to_string(removed), std::to_string(held), run.reason()});
    }
    print("\n" + runs.render());
}

void show_pending(const std::vector<v1::PendingOrder>& orders, const std::string& format) {
    if (format == "json") {
        for (const auto& order : orders) print(to_json_line(order));
        return;
    }
    Table table({{"ORDER"}, {"ACTION"}, {"RESOURCE"}, {"ASKED BY"}, {"ASKED"}, {"EXPIRES"}});
    for (const auto& order : orders)
        table.add({order.name().substr(order.name().find('/') + 1), order.action(), order.resource(), order.asked_by(),
                   shown_time(true, order.asked_at()), shown_time(true, order.expires_at())});
    print(table.render());
}

void run(const Settings& settings, bool dry_run, bool confirm, const std::string& format) {
    const Retention retention(settings);
    const auto ended = retention.wait(retention.run(dry_run, confirm));
    show_run(ended, format);
    if (ended.state() == v1::RetentionRun::State::STOPPED)
        throw Failure{"nothing was removed; look at the gateway's clock and at the ceilings, then add --confirm"};
    if (ended.state() == v1::RetentionRun::State::FAILED || ended.state() == v1::RetentionRun::State::INTERRUPTED)
        throw Failure{"the run did not come to its end; the next one removes the rest"};
}

}  // namespace

void add_retention_commands(CLI::App& app, const Settings& settings) {
    auto* group = app.add_subcommand("retention", "How long the record is kept, and what has been removed");
    group->require_subcommand(1);
    {
        auto* command =
            group->add_subcommand("status", "Show the classes, how many holds there are, and the last runs");
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl retention status", "usherctl get holds"}));
        command->callback([=, &settings] { show_status(Retention(settings).status(), *format); });
    }
    {
        auto* command =
            group->add_subcommand("run", "Remove now what is past its ceiling, as the gateway does once a day");
        auto dry_run = std::make_shared<bool>(false);
        auto confirm = std::make_shared<bool>(false);
        auto* dry = command->add_flag("--dry-run", *dry_run, "Say what would go and what each hold keeps");
        command->add_flag("--confirm", *confirm, "Remove it although it is more than two days' worth")->excludes(dry);
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl retention run --dry-run", "usherctl retention run --confirm -o json"}));
        command->callback([=, &settings] { run(settings, *dry_run, *confirm, *format); });
    }
    {
        auto* command = group->add_subcommand(
            "pending", "List the orders to delete that wait for a second administrator, who gives the same order");
        auto format = add_output(command, {"table", "json"});
        command->footer(examples({"usherctl retention pending", "usherctl retention pending -o json"}));
        command->callback([=, &settings] { show_pending(Retention(settings).pending(), *format); });
    }
    {
        auto* command = group->add_subcommand("withdraw", "Take such an order back");
        auto order = std::make_shared<std::string>();
        command->add_option("ORDER", *order, "The order, as the list shows it")->required();
        command->footer(examples({"usherctl retention withdraw 3f2a9c0d51e7b846"}));
        command->callback([=, &settings] {
            Retention(settings).withdraw(*order);
            print("order " + base::escape_for_terminal(*order, 40) + " withdrawn\n");
        });
    }
}

}  // namespace usher::clients::control
