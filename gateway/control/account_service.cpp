#include <algorithm>
#include <array>

#include "auth/password.hpp"
#include "auth/password_rules.hpp"
#include "auth/totp.hpp"
#include "auth/validate.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "base/text.hpp"
#include "gateway/control/account_preview.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/control/personal_fields.hpp"
#include "gateway/control/read_record.hpp"
#include "gateway/control/revocations.hpp"
#include "gateway/control/services.hpp"
#include "gateway/control/status.hpp"
#include "usher/v1/account.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

/// Takes the password out of a request that gRPC owns, so that it is not left in the message. Shared, because the work
/// of a call is copyable; wiped with it.
template <class Request>
std::shared_ptr<const base::Secret> take_password(const Request* request) {
    // The message is gRPC's own, made for this call alone; only its type says const. An absent field is a shared
    // constant, which must stay as it is.
    if (request->password().empty()) return std::make_shared<const base::Secret>();
    auto* text = const_cast<Request*>(request)->mutable_password();
    auto secret = std::make_shared<const base::Secret>(std::string_view(*text));
    base::wipe(*text);
    return secret;
}

auth::PasswordOwner owner_of(const auth::Account& account) {
    return {account.username, account.display_name, account.department, account.second_factor};
}

/// 256 random bits, for an account that has no password yet.
base::Secret unknown_password() {
    std::array<std::uint8_t, 32> bits;
    base::random_bytes(bits);
    std::string text = base::to_hex(bits);
    base::Secret secret{std::string_view(text)};
    base::wipe(text);
    return secret;
}

base::Error no_account(const std::string& username) {
    return {Errc::not_found, "account '" + username + "' does not exist"};
}

v1::Account shown_to(const Caller& caller, const auth::Account& account) {
    auto out = to_proto(account);
    if (!sees_personal_fields(caller.role)) mask_personal_fields(out);
    return out;
}

class AccountServiceImpl final : public v1::AccountService::CallbackService {
public:
    explicit AccountServiceImpl(const ServiceContext& context) : context_(context) {}

    Reactor* CreateAccount(Call* call, const v1::CreateAccountRequest* request, v1::Account* response) override {
        return unary(
            context_, call, method("AccountService/CreateAccount"), "accounts/" + request->account().username(),
            [this, request, response, password = take_password(request)](const Caller& caller) -> Result<void> {
                auto account = from_proto(request->account());
                if (!account) return std::move(account).error();
                // Everything that can be wrong is said before the expensive hash is made.
                if (auto ok = auth::canonicalize(*account); !ok) return ok;
                if (auto ok = auth::check_new_password(*password, owner_of(*account)); !ok) return ok;
                if (directory().snapshot()->account_by_username(account->username) != nullptr) {
                    return {Errc::already_exists, "account '" + account->username + "' exists already"};
                }
                auto hash = context_.gateway.hashing.hash_and_wait(base::Secret(password->reveal()));
                if (!hash) return std::move(hash).error();
                account->must_change_password = request->must_change_password();
                account->password_is_short = auth::needs_second_factor(*password);
                AdminRecorder recorder(context_.gateway.journal, caller);
                auto created = directory().create_account(std::move(*account), *hash, recorder.callback());
                if (!created) return recorder.failed(std::move(created).error());
                *response = to_proto(*created);
                return {};
            });
    }

    Reactor* GetAccount(Call* call, const v1::GetAccountRequest* request, v1::Account* response) override {
        return unary(context_, call, method("AccountService/GetAccount"), request->name(),
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto username = read_account_name(request->name());
                         if (!username) return std::move(username).error();
                         const auto snapshot = directory().snapshot();
                         const auto* account = snapshot->account_by_username(*username);
                         if (account == nullptr) return no_account(*username);
                         if (auto ok = record_look(caller, "account.get", "accounts/" + *username, 1, *request); !ok)
                             return ok;
                         *response = shown_to(caller, *account);
                         return {};
                     });
    }

    Reactor* ListAccounts(Call* call, const v1::ListAccountsRequest* request,
                          v1::ListAccountsResponse* response) override {
        return unary(context_, call, method("AccountService/ListAccounts"), {},
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto page = read_page(request->page_size(), request->page_token(), "accounts");
                         if (!page) return std::move(page).error();
                         const auto snapshot = directory().snapshot();
                         v1::ListAccountsResponse shown;
                         shown.set_next_page_token(list_page(
                             snapshot->accounts(), *page, "accounts", &auth::Account::username,
                             [&](const auth::Account& account) { *shown.add_accounts() = shown_to(caller, account); }));
                         const auto count = static_cast<std::size_t>(shown.accounts_size());
                         if (auto ok = record_look(caller, "account.list", "accounts", count, *request); !ok) return ok;
                         *response = std::move(shown);
                         return {};
                     });
    }

    Reactor* UpdateAccount(Call* call, const v1::UpdateAccountRequest* request, v1::Account* response) override {
        return unary(context_, call, method("AccountService/UpdateAccount"), request->account().name(),
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto username = read_account_name(request->account().name());
                         if (!username) return std::move(username).error();
                         auto update = read_update(request->account(), request->update_mask(), "update_mask");
                         if (!update) return std::move(update).error();
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         auto updated = directory().update_account(*username, *update, recorder.callback());
                         if (!updated) return recorder.failed(std::move(updated).error());
                         *response = to_proto(*updated);
                         return {};
                     });
    }

    Reactor* ImportAccounts(Call* call, const v1::ImportAccountsRequest* request,
                            v1::ImportAccountsResponse* response) override {
        return unary(context_, call, method("AccountService/ImportAccounts"), "accounts",
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto rows = read_import(*request);
                         if (!rows) return std::move(rows).error();
                         // Nobody knows it: who is new cannot sign in before a password is set.
                         auto hash = context_.gateway.hashing.hash_and_wait(unknown_password());
                         if (!hash) return std::move(hash).error();
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         auto results =
                             directory().import_accounts(*rows, *hash, request->validate_only(), recorder.callback());
                         if (!results) return recorder.failed(std::move(results).error());
                         for (const auto& result : *results) *response->add_accounts() = to_proto(result);
                         return {};
                     });
    }

    Reactor* DisableAccount(Call* call, const v1::DisableAccountRequest* request, v1::Account* response) override {
        return urgent(context_, call, method("AccountService/DisableAccount"), request->name(),
                      [this, request, response](const Caller& caller, const Finish& finish) {
                          auto username = read_account_name(request->name());
                          if (!username) return finish(to_status(username.error(), "account.disable"));
                          const auto answer = [response, finish](grpc::Status status, const Revocations::Done* done) {
                              if (done != nullptr && done->account) *response = to_proto(*done->account);
                              finish(std::move(status));
                          };
                          context_.gateway.revocations.disable_account(*username, caller, answer);
                      });
    }

    Reactor* EnableAccount(Call* call, const v1::EnableAccountRequest* request, v1::Account* response) override {
        return unary(
            context_, call, method("AccountService/EnableAccount"), request->name(),
            [this, request, response](const Caller& caller) { return enable(caller, request->name(), response); });
    }

    Reactor* DeleteAccount(Call* call, const v1::DeleteAccountRequest* request, google::protobuf::Empty*) override {
        return urgent(
            context_, call, method("AccountService/DeleteAccount"), request->name(),
            [this, request](const Caller& caller, const Finish& finish) {
                auto username = read_account_name(request->name());
                if (!username) return finish(to_status(username.error(), "account.delete"));
                context_.gateway.revocations.delete_account(
                    *username, caller,
                    [finish](grpc::Status status, const Revocations::Done*) { finish(std::move(status)); });
            },
            newcomer(request->name()));
    }

    Reactor* PreviewAccountDeletion(Call* call, const v1::PreviewAccountDeletionRequest* request,
                                    v1::PreviewAccountDeletionResponse* response) override {
        return urgent(
            context_, call, method("AccountService/PreviewAccountDeletion"), request->name(),
            [this, request, response](const Caller& caller, const Finish& finish) {
                constexpr auto action = method("AccountService/PreviewAccountDeletion").action;
                auto username = read_account_name(request->name());
                if (!username) return finish(to_status(username.error(), action));
                const auto snapshot = directory().snapshot();
                const auto* account = snapshot->account_by_username(*username);
                if (account == nullptr) return finish(to_status(no_account(*username), action));
                if (auto ok = record_look(caller, std::string(action), "accounts/" + *username, 1, *request); !ok)
                    return finish(to_status(ok.error(), action));
                preview_deletion(context_, *snapshot, *account, *response, finish);
            },
            newcomer(request->name(), preview_limit));
    }

    Reactor* SetPassword(Call* call, const v1::SetPasswordRequest* request, v1::Account* response) override {
        return unary(
            context_, call, method("AccountService/SetPassword"), request->name(),
            [this, request, response, password = take_password(request)](const Caller& caller) -> Result<void> {
                auto username = read_account_name(request->name());
                if (!username) return std::move(username).error();
                const auto snapshot = directory().snapshot();
                const auto* known = snapshot->account_by_username(*username);
                if (known == nullptr) return no_account(*username);
                if (auto ok = auth::check_new_password(*password, owner_of(*known)); !ok) return ok;
                auto hash = context_.gateway.hashing.hash_and_wait(base::Secret(password->reveal()));
                if (!hash) return std::move(hash).error();
                AdminRecorder recorder(context_.gateway.journal, caller);
                const auth::NewPassword next{std::move(*hash), auth::needs_second_factor(*password),
                                             request->must_change_password()};
                // What was long enough beside a second factor must not outlive it.
                auto account = directory().set_password(*username, next, recorder.callback(), known->updated_at);
                if (!account) return recorder.failed(std::move(account).error());
                *response = to_proto(*account);
                return end_sessions(account->id, auth::SessionEnd::revoked);
            });
    }

    Reactor* EnrollSecondFactor(Call* call, const v1::EnrollSecondFactorRequest* request,
                                v1::EnrollSecondFactorResponse* response) override {
        return unary(context_, call, method("AccountService/EnrollSecondFactor"), request->name(),
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto username = read_account_name(request->name());
                         if (!username) return std::move(username).error();
                         const auto snapshot = directory().snapshot();
                         const auto* account = snapshot->account_by_username(*username);
                         if (account == nullptr) return no_account(*username);
                         if (account->second_factor)
                             return {Errc::already_exists, "account '" + *username +
                                                               "' has a second factor; reset it before another one is "
                                                               "enrolled"};
                         const auto made = context_.gateway.second_factors.make(account->id);
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         auto enrolled = directory().enroll_second_factor(*username, made, false, recorder.callback());
                         if (!enrolled) return recorder.failed(std::move(enrolled).error());
                         *response->mutable_account() = to_proto(*enrolled);
                         response->set_uri(std::string(auth::totp_uri("Usher", *username, made.seed).reveal()));
                         for (const auto& code : made.recovery_codes)
                             response->add_recovery_codes(std::string(code.reveal()));
                         return {};
                     });
    }

    Reactor* ResetSecondFactor(Call* call, const v1::ResetSecondFactorRequest* request,
                               v1::Account* response) override {
        return unary(context_, call, method("AccountService/ResetSecondFactor"), request->name(),
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto username = read_account_name(request->name());
                         if (!username) return std::move(username).error();
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         auto account = directory().reset_second_factor(*username, recorder.callback());
                         if (!account) return recorder.failed(std::move(account).error());
                         *response = to_proto(*account);
                         return end_sessions(account->id, auth::SessionEnd::revoked);
                     });
    }

private:
    /// A privacy officer sees what others do not, and it is on record that they looked.
    Result<void> record_look(const Caller& caller, std::string action, std::string resource, std::size_t count,
                             const google::protobuf::Message& request) const {
        if (caller.role != auth::Role::privacy_officer) return {};
        return record_read(context_.gateway.journal, caller, {std::move(action), std::move(resource), count}, request);
    }

    auth::Directory& directory() const { return context_.gateway.directory; }

    Newcomer newcomer(const std::string& name, std::optional<base::Microseconds> limit = {}) const {
        return {[this, name] {
                    const auto username = read_account_name(name);
                    return !username || directory().snapshot()->account_by_username(*username) != nullptr;
                },
                [this]() -> Result<void> {
                    if (auto found = directory().refresh(); !found) return found.error();
                    return {};
                },
                limit};
    }

    Result<void> enable(const Caller& caller, const std::string& name, v1::Account* response) {
        auto username = read_account_name(name);
        if (!username) return std::move(username).error();
        const auto snapshot = directory().snapshot();
        const auto* known = snapshot->account_by_username(*username);
        if (known != nullptr && context_.gateway.revocations.pending_on(known->id))
            return {Errc::failed_precondition, "account '" + *username +
                                                   "' is being disabled, and the database has not taken that yet; try "
                                                   "again when it has"};
        AdminRecorder recorder(context_.gateway.journal, caller);
        auto account = directory().set_status(*username, auth::AccountStatus::active, recorder.callback());
        if (!account) return recorder.failed(std::move(account).error());
        *response = to_proto(*account);
        return {};
    }

    /// The account's change is on record already; what follows from it needs none of its own. The accesses are cut also
    /// when the database could not take the end of the sessions.
    Result<void> end_sessions(const std::string& account_id, auth::SessionEnd why) {
        auto ended = context_.gateway.sessions.end_account(account_id, why, {});
        context_.gateway.enforce(auth::Affected::account(account_id));
        if (!ended) return std::move(ended).error();
        return {};
    }

    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_account_service(const ServiceContext& context) {
    return std::make_unique<AccountServiceImpl>(context);
}

}  // namespace usher::gateway::control
