#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>

#include <future>
#include <map>
#include <set>

#include "gateway/control/methods.hpp"
#include "gateway_fixture.hpp"
#include "usher/v1/account.grpc.pb.h"
#include "usher/v1/audit.grpc.pb.h"
#include "usher/v1/device.pb.h"
#include "usher/v1/gateway.grpc.pb.h"
#include "usher/v1/retention.pb.h"
#include "usher/v1/sink.pb.h"

using namespace usher;
using test::ClientCall;
using test::TestGateway;
namespace v1 = usher::v1;

namespace {

struct ApiMethod {
    std::string path, name;
    /// What an auditor may call is known by its name, so that a new method of another name is taken for a change.
    bool reads() const {
        return name.starts_with("Get") || name.starts_with("List") || name.starts_with("Explain") ||
               name.starts_with("Diff") || name.starts_with("Replay") || name.starts_with("Preview") || name == "Tail";
    }
};

std::vector<ApiMethod> all_methods() {
    v1::Account accounts;  // the descriptors come with the messages
    v1::EnrolledDevice device;
    v1::GatewayStatus gateway;
    v1::RetentionStatus retention;
    v1::Sink sink;
    std::vector<ApiMethod> out;
    for (const char* file :
         {"usher/v1/account.proto", "usher/v1/resource.proto", "usher/v1/session.proto", "usher/v1/audit.proto",
          "usher/v1/device.proto", "usher/v1/gateway.proto", "usher/v1/retention.proto", "usher/v1/sink.proto"}) {
        const auto* descriptor = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(file);
        REQUIRE(descriptor != nullptr);
        for (int s = 0; s < descriptor->service_count(); ++s) {
            const auto* service = descriptor->service(s);
            for (int m = 0; m < service->method_count(); ++m) {
                out.push_back(
                    {"/" + service->full_name() + "/" + service->method(m)->name(), service->method(m)->name()});
            }
        }
    }
    REQUIRE(out.size() >= 20);
    return out;
}

/// Calls any method with an empty message.
grpc::Status call_empty(const std::shared_ptr<grpc::Channel>& channel, const std::string& path, ClientCall& call) {
    grpc::GenericStub stub(channel);
    grpc::ByteBuffer request(nullptr, 0), response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&call, path, {}, &request, &response,
                   [&](grpc::Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
}

grpc::Status call_with(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                       const std::vector<std::string>& authorizations) {
    ClientCall call;
    for (const auto& value : authorizations) call.AddMetadata("authorization", value);
    return call_empty(channel, path, call);
}

}  // namespace

TEST_CASE("the table of roles has each method once, and auditors read while administrators change") {
    std::map<std::string, gateway::control::Need> table;
    std::set<std::string> actions;
    for (const auto& method : gateway::control::methods) {
        INFO(method.name);
        CHECK(table.emplace("/usher.v1." + std::string(method.name), method.need).second);
        CHECK(actions.insert(std::string(method.action)).second);
    }
    const auto described = all_methods();
    for (const auto& method : described) {
        INFO(method.path);
        REQUIRE(table.count(method.path) == 1);
        CHECK((table[method.path] == gateway::control::Need::auditor) == method.reads());
    }
    CHECK(table.size() == described.size());
}

TEST_CASE("a tunnel's call without a valid credential is UNAUTHENTICATED, on every method and on unknown ones") {
    TestGateway gateway;
    const auto admin = gateway.account("root", auth::Role::administrator);
    const auto good = gateway.sign_in(admin);
    const auto ended = gateway.sign_in(admin);
    REQUIRE(gateway.sessions->end(ended.session->id, auth::SessionEnd::revoked, {}).ok());
    const auto channel = gateway.tunnel();

    std::vector<std::string> paths{"/grpc.health.v1.Health/Check",
                                   "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/x.Y/Z"};
    for (const auto& method : all_methods()) paths.push_back(method.path);
    const std::vector<std::vector<std::string>> bad{{},
                                                    {"Bearer "},
                                                    {"Bearer " + std::string(43, 'A')},
                                                    {"Bearer " + ended.token},
                                                    {"Basic cm9vdDp4"},
                                                    {good.token},
                                                    {"Bearer " + good.token, "Bearer " + good.token}};
    for (const auto& path : paths) {
        for (const auto& authorizations : bad) {
            const auto status = call_with(channel, path, authorizations);
            INFO(path);
            CHECK(status.error_code() == grpc::StatusCode::UNAUTHENTICATED);
            CHECK(status.error_message() == "unauthenticated");
        }
    }
    CHECK(gateway.acts().empty());
}

TEST_CASE("each role may call on a tunnel what the contract says, and refused changes are on record") {
    TestGateway gateway;
    const auto methods = all_methods();
    const auto channel = gateway.tunnel();
    std::size_t refused = 0;
    for (const auto role :
         {auth::Role::employee, auth::Role::auditor, auth::Role::privacy_officer, auth::Role::administrator}) {
        const std::string username = "u" + std::to_string(static_cast<int>(role));
        const auto signed_in = gateway.sign_in(gateway.account(username, role));
        for (const auto& method : methods) {
            const auto status = call_with(channel, method.path, {"Bearer " + signed_in.token});
            const bool allowed = role == auth::Role::administrator || (role != auth::Role::employee && method.reads());
            INFO(username << " " << method.path << ": " << status.error_message());
            CHECK(status.error_code() != grpc::StatusCode::UNAUTHENTICATED);
            CHECK((status.error_code() == grpc::StatusCode::PERMISSION_DENIED) == !allowed);
            if (allowed) continue;
            CHECK(status.error_message() == "permission denied");
            if (!method.reads()) ++refused;
        }
    }
    // Each by its own line of the table, as what is refused says.
    std::multiset<std::string> expected, actions;
    for (const auto& method : gateway::control::methods)
        if (method.need == gateway::control::Need::administrator)
            for (int i = 0; i < 3; ++i) expected.insert(std::string(method.action));
    std::size_t recorded = 0;
    for (const auto& act : gateway.acts()) {
        if (act.outcome() != v1::AdminRecord::Outcome::REFUSED) continue;
        ++recorded;
        actions.insert(act.action());
        CHECK(act.actor() != "u" + std::to_string(static_cast<int>(auth::Role::administrator)));
        CHECK_FALSE(act.actor_session_id().empty());
        CHECK_FALSE(act.action().empty());
    }
    CHECK(recorded == refused);
    CHECK(actions == expected);
}

TEST_CASE("an account that is disabled or loses its role loses the API at its next call") {
    TestGateway gateway;
    const auto account = gateway.account("alice", auth::Role::administrator);
    const auto signed_in = gateway.sign_in(account);
    const auto channel = gateway.tunnel();
    const std::string list = "/usher.v1.AccountService/ListAccounts";
    const auto no_record = [](const auth::Change&) { return base::Result<void>{}; };

    CHECK(call_with(channel, list, {"Bearer " + signed_in.token}).ok());
    auth::AccountUpdate update;
    update.role = auth::Role::employee;
    REQUIRE(gateway.directory->update_account("alice", update, no_record).ok());
    CHECK(call_with(channel, list, {"Bearer " + signed_in.token}).error_code() == grpc::StatusCode::PERMISSION_DENIED);
    REQUIRE(gateway.directory->set_status("alice", auth::AccountStatus::disabled, no_record).ok());
    CHECK(call_with(channel, list, {"Bearer " + signed_in.token}).error_code() == grpc::StatusCode::UNAUTHENTICATED);
}

TEST_CASE("the local socket has health and reflection and needs no credential") {
    TestGateway gateway;
    const auto channel = gateway.local();
    CHECK(call_with(channel, "/grpc.health.v1.Health/Check", {}).ok());
    CHECK(call_with(channel, "/usher.v1.AccountService/ListAccounts", {}).ok());
    // An empty request of reflection ends with its own complaint, which shows that it is there.
    CHECK(call_with(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", {}).error_code() !=
          grpc::StatusCode::UNIMPLEMENTED);
}

TEST_CASE("a token that is bound to a device is worth something on a tunnel of the same device only") {
    TestGateway gateway;
    const auto admin = gateway.account("root", auth::Role::administrator);
    const auto device = gateway.device(admin);
    const auto other = gateway.device(admin);
    auto created = TestGateway::must(gateway.sessions->create(admin, "192.0.2.7", {}, false, device.key_sha256));
    const std::string bearer = "Bearer " + std::string(created.token.reveal());
    const std::string list = "/usher.v1.DeviceService/ListDevices";
    CHECK(call_with(gateway.tunnel(device.key_sha256), list, {bearer}).ok());
    CHECK(call_with(gateway.tunnel(other.key_sha256), list, {bearer}).error_code() ==
          grpc::StatusCode::UNAUTHENTICATED);
    CHECK(call_with(gateway.tunnel(), list, {bearer}).error_code() == grpc::StatusCode::UNAUTHENTICATED);
    // A session without a device is good on any tunnel, as before.
    const auto unbound = gateway.sign_in(admin);
    CHECK(call_with(gateway.tunnel(device.key_sha256), list, {"Bearer " + unbound.token}).ok());
}
