#pragma once
#include <string>
#include <string_view>

#include "usher/v1/account.pb.h"
#include "usher/v1/audit.pb.h"

/// Personal fields: what the gateway keeps of a person beside what says who used what (decision 40). They are an
/// account's office_mail, office_phone, employee_number and outside_id, in its own message and in the records of its
/// changes. Whoever does not see them (sees_personal_fields()) gets them masked. Pure; any thread.
namespace usher::gateway::control {

/// What stands where a text of a record was masked.
inline constexpr std::string_view masked_text = "[masked]";

/// Empties the personal fields and names those that had a value in `masked_fields`.
void mask_personal_fields(usher::v1::Account& account);

/// Masks what an administrative record says of an account before and after, and a detail that speaks of such a field.
/// Other events have none.
void mask_personal_fields(usher::v1::AuditEvent& event);

/// Withholds the payload, which nobody can mask, and masks what was read of it.
void mask_personal_fields(usher::v1::ParkedRecord& parked);

/// The JSON object with masked_text in place of the value of each personal field that is one of its own members and
/// not an empty text; all else byte for byte as it was. What is no JSON object becomes masked_text as a whole: nobody
/// knows what is in it. Empty stays empty.
std::string mask_personal_members(std::string_view json);

}  // namespace usher::gateway::control
