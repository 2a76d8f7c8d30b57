#include <algorithm>

#include "auth/devices.hpp"
#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/convert_fields.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/control/revocations.hpp"
#include "gateway/control/services.hpp"
#include "gateway/control/status.hpp"
#include "usher/v1/device.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using auth::DeviceAct;
using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

class DeviceServiceImpl final : public v1::DeviceService::CallbackService {
public:
    explicit DeviceServiceImpl(const ServiceContext& context) : context_(context) {}

    Reactor* ListDevices(Call* call, const v1::ListDevicesRequest* request,
                         v1::ListDevicesResponse* response) override {
        return unary(context_, call, method("DeviceService/ListDevices"), {},
                     [this, request, response](const Caller&) { return list(*request, *response); });
    }

    Reactor* GetDevice(Call* call, const v1::GetDeviceRequest* request, v1::EnrolledDevice* response) override {
        return unary(
            context_, call, method("DeviceService/GetDevice"), {},
            [this, request, response](const Caller&) -> Result<void> {
                auto id = read_name(request->name(), "devices");
                if (!id) return std::move(id).error();
                const auto now = devices().snapshot();
                const auth::Device* device = now->by_id(*id);
                if (device == nullptr)
                    return {Errc::not_found, "device '" + base::escape_for_terminal(*id, 100) + "' does not exist"};
                return describe(*device, *response);
            });
    }

    Reactor* ApproveDevice(Call* call, const v1::ChangeDeviceRequest* request,
                           v1::ChangeDeviceResponse* response) override {
        return change(call, method("DeviceService/ApproveDevice"), DeviceAct::approve, request, response);
    }
    Reactor* LockDevice(Call* call, const v1::ChangeDeviceRequest* request,
                        v1::ChangeDeviceResponse* response) override {
        return take_away(call, method("DeviceService/LockDevice"), DeviceAct::lock, request, response);
    }
    Reactor* UnlockDevice(Call* call, const v1::ChangeDeviceRequest* request,
                          v1::ChangeDeviceResponse* response) override {
        return change(call, method("DeviceService/UnlockDevice"), DeviceAct::unlock, request, response);
    }
    Reactor* LoseDevice(Call* call, const v1::ChangeDeviceRequest* request,
                        v1::ChangeDeviceResponse* response) override {
        return take_away(call, method("DeviceService/LoseDevice"), DeviceAct::lose, request, response);
    }
    Reactor* UnbindDevice(Call* call, const v1::ChangeDeviceRequest* request,
                          v1::ChangeDeviceResponse* response) override {
        return take_away(call, method("DeviceService/UnbindDevice"), DeviceAct::unbind, request, response);
    }

private:
    auth::Devices& devices() const { return *context_.gateway.devices; }

    Result<void> describe(const auth::Device& device, v1::EnrolledDevice& out) const {
        const auto* account = context_.gateway.directory.snapshot()->account_by_id(device.account_id);
        auto seen = devices().last_seen(device.id);
        if (!seen) return std::move(seen).error();
        out.set_name("devices/" + device.id);
        out.set_device_id(device.id);
        out.set_account_id(device.account_id);
        if (account != nullptr) out.set_username(account->username);
        out.set_display_name(device.name);
        out.set_state(control::to_proto(device.state));
        out.set_key_sha256(base::to_hex(device.key_sha256));
        out.set_serial(device.serial);
        *out.mutable_not_after() = control::to_proto(device.not_after);
        *out.mutable_created_at() = control::to_proto(device.created_at);
        *out.mutable_updated_at() = control::to_proto(device.updated_at);
        if (*seen) *out.mutable_last_seen_at() = control::to_proto(**seen);
        return {};
    }

    Result<void> list(const v1::ListDevicesRequest& request, v1::ListDevicesResponse& response) const {
        const auto now = devices().snapshot();
        const auto directory = context_.gateway.directory.snapshot();
        std::string account_id;
        if (!request.account().empty()) {
            auto username = read_account_name(request.account());
            if (!username) return std::move(username).error();
            const auto* account = directory->account_by_username(*username);
            if (account == nullptr) return {Errc::not_found, "account '" + *username + "' does not exist"};
            account_id = account->id;
        }
        const auto kind = "devices " + account_id;
        auto page = read_page(request.page_size(), request.page_token(), kind);
        if (!page) return std::move(page).error();
        std::vector<auth::Device> chosen;
        for (const auto& device : now->devices())
            if (account_id.empty() || device.account_id == account_id) chosen.push_back(device);
        Result<void> described;
        response.set_next_page_token(list_page(chosen, *page, kind, &auth::Device::id, [&](const auth::Device& device) {
            if (described) described = describe(device, *response.add_devices());
        }));
        return described;
    }

    Reactor* change(Call* call, const Method& called, DeviceAct act, const v1::ChangeDeviceRequest* request,
                    v1::ChangeDeviceResponse* response) {
        return unary(context_, call, called, request->name(),
                     [this, act, request, response](const Caller& caller) -> Result<void> {
                         auto id = read_name(request->name(), "devices");
                         if (!id) return std::move(id).error();
                         if (context_.gateway.revocations.pending_on(*id))
                             return {Errc::failed_precondition,
                                     "the device is being taken out of use, and the database has not taken that yet; "
                                     "try again when it has"};
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         auto changed = devices().act(*id, act, recorder.callback());
                         if (!changed) return recorder.failed(std::move(changed).error());
                         return describe(*changed, *response->mutable_device());
                     });
    }

    /// Ends what the device has; also when it was in that state before, so that a call whose first try broke off
    /// half-way can be made again.
    Reactor* take_away(Call* call, const Method& called, DeviceAct act, const v1::ChangeDeviceRequest* request,
                       v1::ChangeDeviceResponse* response) {
        return urgent(
            context_, call, called, request->name(),
            [this, act, request, response](const Caller& caller, const Finish& finish) {
                auto id = read_name(request->name(), "devices");
                if (!id) return finish(to_status(id.error(), auth::to_action(act)));
                const auto answer = [this, act, response, finish](grpc::Status status, const Revocations::Done* done) {
                    if (done == nullptr || !done->device) return finish(std::move(status));
                    response->set_closed_accesses(done->closed_accesses);
                    response->set_ended_sessions(done->ended_sessions);
                    const auto described = describe(*done->device, *response->mutable_device());
                    finish(described ? std::move(status) : to_status(described.error(), auth::to_action(act)));
                };
                context_.gateway.revocations.change_device(*id, act, caller, answer);
            });
    }

    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_device_service(const ServiceContext& context) {
    return std::make_unique<DeviceServiceImpl>(context);
}

}  // namespace usher::gateway::control
