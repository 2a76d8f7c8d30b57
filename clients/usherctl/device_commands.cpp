// device list|show|approve|lock|unlock|lost|unbind

#include "base/text.hpp"
#include "clients/usherctl/commands.hpp"
#include "clients/usherctl/listings.hpp"
#include "usher/v1/device.grpc.pb.h"

namespace usher::clients::control {

namespace v1 = usher::v1;

namespace {

using Stub = v1::DeviceService::Stub;
using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const v1::ChangeDeviceRequest&, v1::ChangeDeviceResponse*);

struct Act {
    const char* word;
    const char* help;
    const char* done;  ///< "locked"
    Method method;
};

const Act acts[] = {
    {"approve", "Let a device that is pending count as enrolled", "approved", &Stub::ApproveDevice},
    {"lock", "End what the device has, and serve it no more until it is unlocked", "locked", &Stub::LockDevice},
    {"unlock", "Serve a locked device again; it has to sign in", "unlocked", &Stub::UnlockDevice},
    {"lost", "As lock, for good: its key may be in other hands", "marked as lost", &Stub::LoseDevice},
    {"unbind", "Take the device from its account for good; it may be enrolled anew", "unbound", &Stub::UnbindDevice},
};

void show(const Settings& settings, const std::string& id, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::DeviceService::NewStub(channel->channel());
    v1::GetDeviceRequest request;
    request.set_name(id);
    grpc::ClientContext context;
    channel->prepare(context);
    v1::EnrolledDevice device;
    channel->require(stub->GetDevice(&context, request, &device));
    Listing<v1::EnrolledDevice> listing(format);
    listing.add(device);
    listing.end_page();
}

void change(const Settings& settings, const Act& act, const std::string& id, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::DeviceService::NewStub(channel->channel());
    v1::ChangeDeviceRequest request;
    request.set_name(id);
    grpc::ClientContext context;
    channel->prepare(context);
    v1::ChangeDeviceResponse response;
    channel->require(((*stub).*act.method)(&context, request, &response));
    if (format == "json") return print(to_json_line(response));
    print("device " + base::escape_for_terminal(response.device().device_id(), 100) + " is " + act.done +
          "; sessions ended: " + std::to_string(response.ended_sessions()) +
          ", accesses closed: " + std::to_string(response.closed_accesses()) + "\n");
}

}  // namespace

void add_device_commands(CLI::App& app, const Settings& settings) {
    auto* group = app.add_subcommand("device", "List, approve, lock and unbind enrolled devices");
    group->require_subcommand(1);
    group->footer(examples(
        {"usherctl device list --account alice", "usherctl device lost 01936b2e-7a40-7c3e-9d55-0242ac120002"}));
    {
        auto* command = group->add_subcommand("list", "List the devices");
        auto account = std::make_shared<std::string>();
        command->add_option("--account", *account, "Those of one account only");
        auto format = add_output(command, {"table", "json", "yaml"});
        command->footer(examples({"usherctl device list", "usherctl device list --account alice -o json"}));
        command->callback([=, &settings] { list_devices(settings, *account, *format); });
    }
    {
        auto* command = group->add_subcommand("show", "Show one device");
        auto id = std::make_shared<std::string>();
        command->add_option("ID", *id, "As device list shows it")->required();
        auto format = add_output(command, {"table", "json", "yaml"});
        command->footer(examples({"usherctl device show 01936b2e-7a40-7c3e-9d55-0242ac120002"}));
        command->callback([=, &settings] { show(settings, *id, *format); });
    }
    for (const Act& act : acts) {
        auto* command = group->add_subcommand(act.word, act.help);
        auto id = std::make_shared<std::string>();
        command->add_option("ID", *id, "As device list shows it")->required();
        auto format = add_output(command, {"table", "json"});
        const std::string example =
            "usherctl device " + std::string(act.word) + " 01936b2e-7a40-7c3e-9d55-0242ac120002";
        command->footer(examples({example}));
        command->callback([=, &act, &settings] { change(settings, act, *id, *format); });
    }
}

}  // namespace usher::clients::control
