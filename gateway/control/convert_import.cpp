#include "gateway/control/convert.hpp"
#include "gateway/control/convert_fields.hpp"

namespace usher::gateway::control {

using base::Result;
namespace v1 = usher::v1;

namespace {

v1::ImportedAccount::Outcome to_proto(auth::ImportOutcome outcome) {
    switch (outcome) {
        case auth::ImportOutcome::created:
            return v1::ImportedAccount::CREATED;
        case auth::ImportOutcome::updated:
            return v1::ImportedAccount::UPDATED;
        case auth::ImportOutcome::unchanged:
            return v1::ImportedAccount::UNCHANGED;
        case auth::ImportOutcome::refused:
            return v1::ImportedAccount::REFUSED;
    }
    return v1::ImportedAccount::OUTCOME_UNSPECIFIED;
}

}  // namespace

Result<std::vector<auth::ImportedAccount>> read_import(const v1::ImportAccountsRequest& request) {
    if (request.accounts().empty()) return invalid("accounts", "is empty");
    if (static_cast<std::size_t>(request.accounts_size()) > auth::import_max)
        return invalid("accounts", "are more than " + std::to_string(auth::import_max) + " in one call");
    std::vector<auth::ImportedAccount> rows;
    rows.reserve(static_cast<std::size_t>(request.accounts_size()));
    for (int i = 0; i < request.accounts_size(); ++i) {
        const auto& account = request.accounts(i);
        auth::ImportedAccount row{account.username(), {}};
        if (!request.field_mask().paths().empty()) {
            auto fields = read_update(account, request.field_mask(), "field_mask");
            if (!fields) {
                auto error = fields.error();
                if (!error.message.starts_with("field_mask")) error.message.insert(0, indexed("accounts", i) + ".");
                return error;
            }
            row.fields = std::move(*fields);
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

v1::ImportedAccount to_proto(const auth::ImportResult& result) {
    v1::ImportedAccount out;
    out.set_outcome(to_proto(result.outcome));
    if (result.outcome != auth::ImportOutcome::refused) *out.mutable_account() = to_proto(result.account);
    out.mutable_changed_fields()->Assign(result.changed.begin(), result.changed.end());
    out.set_error(result.error);
    return out;
}

}  // namespace usher::gateway::control
