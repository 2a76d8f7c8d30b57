#pragma once
#include <string>
#include <string_view>
#include <variant>

#include "auth/directory.hpp"
#include "auth/sessions.hpp"
#include "base/result.hpp"
#include "usher/v1/account.pb.h"
#include "usher/v1/resource.pb.h"
#include "usher/v1/session.pb.h"

/// Between the API's messages and the directory's model. Pure; errors name the field as a client wrote it.
namespace usher::gateway::control {

google::protobuf::Timestamp to_proto(base::UtcTime time);
/// invalid_argument for a timestamp outside of the years 1 to 9999, naming `field`.
base::Result<base::UtcTime> from_proto(const google::protobuf::Timestamp& time, std::string_view field);

usher::v1::Account to_proto(const auth::Account& account);
usher::v1::App to_proto(const auth::App& app);
usher::v1::Policy to_proto(const auth::Policy& policy);
usher::v1::Department to_proto(const auth::Department& department);
/// `username` and `open_accesses` are not the session's own.
usher::v1::Session to_proto(const auth::Session& session, const std::string& username, base::UtcTime expires_at,
                            std::uint64_t open_accesses);

/// What a client may set on creation; output-only fields are ignored (AIP-203). A name must fit the username.
base::Result<auth::Account> from_proto(const usher::v1::Account& account);
/// The fields that the mask names, and no others. Strict: an empty mask, an unknown, repeated or output-only path is
/// invalid_argument, and names the mask as `field`.
base::Result<auth::AccountUpdate> read_update(const usher::v1::Account& account,
                                              const google::protobuf::FieldMask& mask, std::string_view field);
/// Errors begin with "accounts[N]." or "field_mask".
base::Result<std::vector<auth::ImportedAccount>> read_import(const usher::v1::ImportAccountsRequest& request);
usher::v1::ImportedAccount to_proto(const auth::ImportResult& result);
/// Parses destinations and blocks. The error begins with "resources[index]".
base::Result<auth::Resource> from_proto(const usher::v1::Resource& resource, int index);

/// All of them, at most auth::resources_max.
base::Result<auth::Resources> from_proto(const google::protobuf::RepeatedPtrField<usher::v1::Resource>& resources);

/// What is known of an attempt. `client_ip` or `second_factor_age` ("1h") empty, `at` null: not known. Errors name the
/// field behind `where`.
/// Null for no facts.
base::Result<auth::PosturePtr> read_posture(const google::protobuf::RepeatedPtrField<std::string>& facts,
                                            const std::string& where);
base::Result<auth::Context> read_context(const std::string& client_ip, const google::protobuf::Timestamp* at,
                                         const std::string& second_factor_age, const std::string& where);

/// The last part of "accounts/alice"; a bare "alice" is itself. invalid_argument when there is none, or another
/// collection.
base::Result<std::string> read_name(const std::string& name, std::string_view collection);
/// read_name() of an account, in canonical form.
base::Result<std::string> read_account_name(const std::string& name);

}  // namespace usher::gateway::control
