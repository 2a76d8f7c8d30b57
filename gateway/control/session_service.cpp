#include "base/ids.hpp"
#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/control/services.hpp"
#include "usher/v1/session.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

/// The session as it goes on record; without its token's hash.
std::string describe(const auth::Session& session) {
    return "{\"session_id\":" + base::json_quote(session.id) +
           ",\"account_id\":" + base::json_quote(session.account_id) +
           ",\"client_ip\":" + base::json_quote(session.client_ip) +
           ",\"created_at\":" + base::json_quote(base::format_rfc3339(session.created_at)) + "}";
}

class SessionServiceImpl final : public v1::SessionService::CallbackService {
public:
    explicit SessionServiceImpl(const ServiceContext& context) : context_(context) {}

    Reactor* ListSessions(Call* call, const v1::ListSessionsRequest* request,
                          v1::ListSessionsResponse* response) override {
        return unary(context_, call, {"session.list", Need::auditor}, {},
                     [this, request, response](const Caller&) { return list(*request, *response); });
    }

    Reactor* RevokeSessions(Call* call, const v1::RevokeSessionsRequest* request,
                            v1::RevokeSessionsResponse* response) override {
        std::string resource;
        if (request->which_case() == v1::RevokeSessionsRequest::kAccount) resource = "accounts/" + request->account();
        if (request->which_case() == v1::RevokeSessionsRequest::kSessionId)
            resource = "sessions/" + request->session_id();
        return unary(context_, call, {"session.revoke", Need::administrator}, std::move(resource),
                     [this, request, response](const Caller& caller) -> Result<void> {
                         switch (request->which_case()) {
                             case v1::RevokeSessionsRequest::kSessionId:
                                 return revoke_one(caller, request->session_id(), *response);
                             case v1::RevokeSessionsRequest::kAccount:
                                 return revoke_account(caller, request->account(), *response);
                             case v1::RevokeSessionsRequest::WHICH_NOT_SET:
                                 break;
                         }
                         return {Errc::invalid_argument, "which: session_id or account is required"};
                     });
    }

private:
    auth::Sessions& sessions() const { return context_.gateway.sessions; }

    Result<const auth::Account*> find_account(const auth::DirectorySnapshot& snapshot, const std::string& name) const {
        auto username = read_account_name(name);
        if (!username) return std::move(username).error();
        const auto* account = snapshot.account_by_username(*username);
        if (account == nullptr) return {Errc::not_found, "account '" + *username + "' does not exist"};
        return account;
    }

    Result<void> list(const v1::ListSessionsRequest& request, v1::ListSessionsResponse& response) {
        const auto directory = context_.gateway.directory.snapshot();
        std::string account_id;
        if (!request.account().empty()) {
            auto account = find_account(*directory, request.account());
            if (!account) return std::move(account).error();
            account_id = (*account)->id;
        }
        const auto kind = "sessions " + account_id;
        auto page = read_page(request.page_size(), request.page_token(), kind);
        if (!page) return std::move(page).error();
        // One more than asked for tells whether there is a next page.
        auto found = sessions().list(account_id, page->after, page->size + 1);
        const bool more = found.size() > page->size;
        if (more) found.resize(page->size);
        if (more) response.set_next_page_token(page_token(kind, found.back()->id));
        for (const auto& session : found) {
            const auto* account = directory->account_by_id(session->account_id);
            *response.add_sessions() =
                to_proto(*session, account != nullptr ? account->username : std::string{},
                         sessions().expires_at(*session), context_.gateway.open_accesses(session->id));
        }
        return {};
    }

    Result<void> revoke_one(const Caller& caller, const std::string& name, v1::RevokeSessionsResponse& response) {
        auto id = read_name(name, "sessions");
        if (!id) return std::move(id).error();
        const auto session = sessions().find(*id);
        if (!session) {
            return {Errc::not_found, "session '" + base::escape_for_terminal(*id, 100) + "' does not exist"};
        }
        AdminRecorder recorder(context_.gateway.journal, caller);
        auto ended = sessions().end(*id, auth::SessionEnd::revoked, [&] {
            return recorder.record({"session.revoke", "sessions/" + *id, describe(*session), {}});
        });
        // Also when the database failed: what has ended in memory must not keep its accesses.
        const auto closed = context_.gateway.enforce();
        if (!ended) return recorder.failed(std::move(ended).error());
        response.set_revoked_sessions(1);
        response.set_closed_accesses(closed);
        return {};
    }

    Result<void> revoke_account(const Caller& caller, const std::string& name, v1::RevokeSessionsResponse& response) {
        const auto directory = context_.gateway.directory.snapshot();
        auto account = find_account(*directory, name);
        if (!account) return std::move(account).error();
        AdminRecorder recorder(context_.gateway.journal, caller);
        auto ended = sessions().end_account((*account)->id, auth::SessionEnd::revoked, [&] {
            return recorder.record({"session.revoke", "accounts/" + (*account)->username, {}, {}});
        });
        const auto closed = context_.gateway.enforce();
        if (!ended) return recorder.failed(std::move(ended).error());
        response.set_revoked_sessions(*ended);
        response.set_closed_accesses(closed);
        return {};
    }

    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_session_service(const ServiceContext& context) {
    return std::make_unique<SessionServiceImpl>(context);
}

}  // namespace usher::gateway::control
