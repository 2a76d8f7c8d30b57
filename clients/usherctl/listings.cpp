#include "clients/usherctl/listings.hpp"

#include <algorithm>

#include "clients/usherctl/commands.hpp"
#include "usher/v1/account.grpc.pb.h"
#include "usher/v1/audit.grpc.pb.h"
#include "usher/v1/device.grpc.pb.h"
#include "usher/v1/resource.grpc.pb.h"
#include "usher/v1/retention.grpc.pb.h"
#include "usher/v1/session.grpc.pb.h"

namespace usher::clients::control {

namespace v1 = usher::v1;

namespace {

/// One page: sets its size and token, calls, copies the rows out.
template <class Stub, class Request, class Response, class Message>
std::string fetch(const ControlChannel& channel, Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), Request request,
                  const google::protobuf::RepeatedPtrField<Message>& (Response::*rows)() const,
                  const std::string& token, std::vector<Message>& page) {
    if (request.page_size() == 0) request.set_page_size(page_size);
    request.set_page_token(token);
    grpc::ClientContext context;
    channel.prepare(context);
    Response response;
    channel.require((stub.*method)(&context, request, &response));
    const auto& found = (response.*rows)();
    page.assign(found.begin(), found.end());
    return response.next_page_token();
}

}  // namespace

void list_accounts(const Settings& settings, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::AccountService::NewStub(channel->channel());
    list_all<v1::Account>(format, 0, [&](const std::string& token, std::vector<v1::Account>& page) {
        return fetch(*channel, *stub, &v1::AccountService::Stub::ListAccounts, v1::ListAccountsRequest{},
                     &v1::ListAccountsResponse::accounts, token, page);
    });
}

void list_apps(const Settings& settings, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::ResourceService::NewStub(channel->channel());
    list_all<v1::App>(format, 0, [&](const std::string& token, std::vector<v1::App>& page) {
        return fetch(*channel, *stub, &v1::ResourceService::Stub::ListApps, v1::ListAppsRequest{},
                     &v1::ListAppsResponse::apps, token, page);
    });
}

void list_policies(const Settings& settings, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::ResourceService::NewStub(channel->channel());
    list_all<v1::Policy>(format, 0, [&](const std::string& token, std::vector<v1::Policy>& page) {
        return fetch(*channel, *stub, &v1::ResourceService::Stub::ListPolicies, v1::ListPoliciesRequest{},
                     &v1::ListPoliciesResponse::policies, token, page);
    });
}

void list_departments(const Settings& settings, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::ResourceService::NewStub(channel->channel());
    list_all<v1::Department>(format, 0, [&](const std::string& token, std::vector<v1::Department>& page) {
        return fetch(*channel, *stub, &v1::ResourceService::Stub::ListDepartments, v1::ListDepartmentsRequest{},
                     &v1::ListDepartmentsResponse::departments, token, page);
    });
}

void list_retention_classes(const Settings& settings, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::RetentionService::NewStub(channel->channel());
    list_all<v1::RetentionClass>(format, 0, [&](const std::string& token, std::vector<v1::RetentionClass>& page) {
        return fetch(*channel, *stub, &v1::RetentionService::Stub::ListRetentionClasses,
                     v1::ListRetentionClassesRequest{}, &v1::ListRetentionClassesResponse::retention_classes, token,
                     page);
    });
}

void list_holds(const Settings& settings, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::RetentionService::NewStub(channel->channel());
    list_all<v1::Hold>(format, 0, [&](const std::string& token, std::vector<v1::Hold>& page) {
        return fetch(*channel, *stub, &v1::RetentionService::Stub::ListHolds, v1::ListHoldsRequest{},
                     &v1::ListHoldsResponse::holds, token, page);
    });
}

void list_sessions(const Settings& settings, const std::string& account, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::SessionService::NewStub(channel->channel());
    v1::ListSessionsRequest request;
    request.set_account(account);
    list_all<v1::Session>(format, 0, [&](const std::string& token, std::vector<v1::Session>& page) {
        return fetch(*channel, *stub, &v1::SessionService::Stub::ListSessions, request,
                     &v1::ListSessionsResponse::sessions, token, page);
    });
}

void list_devices(const Settings& settings, const std::string& account, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::DeviceService::NewStub(channel->channel());
    v1::ListDevicesRequest request;
    request.set_account(account);
    list_all<v1::EnrolledDevice>(format, 0, [&](const std::string& token, std::vector<v1::EnrolledDevice>& page) {
        return fetch(*channel, *stub, &v1::DeviceService::Stub::ListDevices, request, &v1::ListDevicesResponse::devices,
                     token, page);
    });
}

void list_accesses(const Settings& settings, const AccessQuery& query, const std::string& format) {
    const auto channel = open_channel(settings);
    const auto stub = v1::AuditService::NewStub(channel->channel());
    v1::ListAccessesRequest request;
    request.set_filter(query.filter);
    request.set_oldest_first(query.oldest_first);
    if (query.limit != 0) request.set_page_size(static_cast<int>(std::min<std::uint64_t>(query.limit, page_size)));
    list_all<v1::AccessRecord>(format, query.limit, [&](const std::string& token, std::vector<v1::AccessRecord>& page) {
        return fetch(*channel, *stub, &v1::AuditService::Stub::ListAccesses, request,
                     &v1::ListAccessesResponse::accesses, token, page);
    });
}

}  // namespace usher::clients::control
