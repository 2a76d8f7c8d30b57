#include "base/ids.hpp"
#include "base/text.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/control/revocations.hpp"
#include "gateway/control/services.hpp"
#include "gateway/control/status.hpp"
#include "usher/v1/session.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

class SessionServiceImpl final : public v1::SessionService::CallbackService {
public:
    explicit SessionServiceImpl(const ServiceContext& context) : context_(context) {}

    Reactor* ListSessions(Call* call, const v1::ListSessionsRequest* request,
                          v1::ListSessionsResponse* response) override {
        return unary(context_, call, method("SessionService/ListSessions"), {},
                     [this, request, response](const Caller&) { return list(*request, *response); });
    }

    Reactor* RevokeSessions(Call* call, const v1::RevokeSessionsRequest* request,
                            v1::RevokeSessionsResponse* response) override {
        std::string resource;
        if (request->which_case() == v1::RevokeSessionsRequest::kAccount) resource = "accounts/" + request->account();
        if (request->which_case() == v1::RevokeSessionsRequest::kSessionId)
            resource = "sessions/" + request->session_id();
        return urgent(context_, call, method("SessionService/RevokeSessions"), std::move(resource),
                      [this, request, response](const Caller& caller, const Finish& finish) {
                          if (auto ok = revoke(caller, *request, *response, finish); !ok)
                              finish(to_status(ok.error(), "session.revoke"));
                      },
                      {[this, request] { return known(*request); }, [this, request] { return look(*request); }, {}});
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
            *response.add_sessions() = to_proto(*session, account != nullptr ? account->username : std::string{},
                                                sessions().expires_at(*session), open_on(session->id));
        }
        return {};
    }

    /// 0 where it is not known.
    std::uint64_t open_on(const std::string& session_id) const {
        return context_.gateway.open_accesses({&session_id, 1}, count_open_limit).value_or(0);
    }

    /// Whether this gateway knows what is to end; or nobody does, since it is no name.
    bool known(const v1::RevokeSessionsRequest& request) const {
        if (request.which_case() == v1::RevokeSessionsRequest::kSessionId) {
            const auto id = read_name(request.session_id(), "sessions");
            return !id || sessions().find(*id) != nullptr;
        }
        const auto username = read_account_name(request.account());
        return !username || context_.gateway.directory.snapshot()->account_by_username(*username) != nullptr;
    }

    Result<void> look(const v1::RevokeSessionsRequest& request) {
        // Whose session it is may be news as well.
        if (auto accounts = context_.gateway.directory.refresh(); !accounts) return accounts.error();
        if (request.which_case() != v1::RevokeSessionsRequest::kSessionId) return {};
        const auto id = read_name(request.session_id(), "sessions");
        if (!id) return id.error();
        if (auto found = sessions().refresh({{auth::ChangeKind::session_begun, *id}}); !found) return found.error();
        return {};
    }

    /// An error, or `finish` is called later.
    Result<void> revoke(const Caller& caller, const v1::RevokeSessionsRequest& request,
                        v1::RevokeSessionsResponse& response, const Finish& finish) {
        const auto answer = [&response, finish](grpc::Status status, const Revocations::Done* done) {
            if (done != nullptr) {
                response.set_revoked_sessions(done->ended_sessions);
                response.set_closed_accesses(done->closed_accesses);
            }
            finish(std::move(status));
        };
        auto& revocations = context_.gateway.revocations;
        switch (request.which_case()) {
            case v1::RevokeSessionsRequest::kSessionId: {
                auto id = read_name(request.session_id(), "sessions");
                if (!id) return std::move(id).error();
                revocations.revoke_session(*id, caller, answer);
                return {};
            }
            case v1::RevokeSessionsRequest::kAccount: {
                auto username = read_account_name(request.account());
                if (!username) return std::move(username).error();
                revocations.revoke_sessions_of(*username, caller, answer);
                return {};
            }
            case v1::RevokeSessionsRequest::WHICH_NOT_SET:
                break;
        }
        return {Errc::invalid_argument, "which: session_id or account is required"};
    }

    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_session_service(const ServiceContext& context) {
    return std::make_unique<SessionServiceImpl>(context);
}

}  // namespace usher::gateway::control
