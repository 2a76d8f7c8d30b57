#include "gateway/control/personal_fields.hpp"

#include "gateway_fixture.hpp"
#include "usher/v1/account.grpc.pb.h"
#include "usher/v1/audit.grpc.pb.h"

using namespace usher;
using gateway::control::mask_personal_fields;
using gateway::control::mask_personal_members;
using test::ClientCall;
using test::contains;
using test::TestGateway;
namespace v1 = usher::v1;

namespace {

/// An account with every personal field, made through the API so that it is on record.
void create_alice(TestGateway& gateway) {
    v1::CreateAccountRequest request;
    request.mutable_account()->set_username("alice");
    request.mutable_account()->set_department("Finance");
    request.mutable_account()->set_office_mail("alice@corp.example");
    request.mutable_account()->set_office_phone("+49 89 1234");
    request.mutable_account()->set_employee_number("4711");
    request.mutable_account()->set_source("hr");
    request.mutable_account()->set_outside_id("x-100");
    request.set_password("correct horse battery staple");
    v1::Account made;
    ClientCall call;
    REQUIRE(v1::AccountService::NewStub(gateway.local())->CreateAccount(&call, request, &made).ok());
}

v1::Account alice_as(const std::shared_ptr<grpc::Channel>& channel, const std::string& token) {
    v1::GetAccountRequest request;
    request.set_name("accounts/alice");
    v1::Account account;
    ClientCall call(token);
    REQUIRE(v1::AccountService::NewStub(channel)->GetAccount(&call, request, &account).ok());
    return account;
}

/// What the record says of her creation, to whom the token belongs.
v1::AdminRecord creation_as(const std::shared_ptr<grpc::Channel>& channel, const std::string& token) {
    v1::TailRequest request;
    request.mutable_since()->set_seconds(1);
    ClientCall call(token);
    auto reader = v1::AuditService::NewStub(channel)->Tail(&call, request);
    v1::TailResponse item;
    v1::AdminRecord found;
    while (reader->Read(&item))
        if (item.event().admin().action() == "account.create") found = item.event().admin();
    CHECK(reader->Finish().ok());
    return found;
}

}  // namespace

TEST_CASE("of a JSON object the personal members are masked and all else stays as it was") {
    const std::pair<const char*, const char*> cases[] = {
        {"", ""},
        {"{}", "{}"},
        {R"({"username":"a","office_mail":"a@b","groups":["x","y"]})",
         R"({"username":"a","office_mail":"[masked]","groups":["x","y"]})"},
        {R"({"office_phone":"","employee_number":"7"})", R"({"office_phone":"","employee_number":"[masked]"})"},
        {R"( { "outside_id" : 7 , "b" : {"c":[1,{"d":"}"}]} } )",
         R"( { "outside_id" : "[masked]", "b" : {"c":[1,{"d":"}"}]} } )"},
        // Its own members only: these are an app's name and a text that looks like a member.
        {R"({"rules":{"office_mail":"x"},"name":"\"office_mail\":\"y\""})",
         R"({"rules":{"office_mail":"x"},"name":"\"office_mail\":\"y\""})"},
        // A name with an escape could be any.
        {R"({"office\u005fmail":"a@b","x":1})", R"({"office\u005fmail":"[masked]","x":1})"},
        {R"({"office_mail":{"a":["b"]},"office_mail":"c"})", R"({"office_mail":"[masked]","office_mail":"[masked]"})"},
    };
    for (const auto& [json, expected] : cases) CHECK(mask_personal_members(json) == expected);
}

TEST_CASE("what is no JSON object is masked as a whole") {
    for (const char* json :
         {"x", "[]", "\"office_mail\"", "{", "{\"a\"", "{\"a\":", "{\"a\":}", "{\"a\":1", "{\"a\":1,}",
          "{\"a\":\"office_mail", "{\"a\":\"\\", "{\"a\":[1}", "{} {}", "{\"a\":1}x", "{a:1}", "{,}"}) {
        INFO(json);
        CHECK(mask_personal_members(json) == "\"[masked]\"");
    }
}

TEST_CASE("a detail that speaks of a personal field is masked, and a parked record's payload withheld") {
    v1::ParkedRecord parked;
    parked.set_payload("alice@corp.example");
    auto& event = *parked.mutable_decoded();
    event.mutable_admin()->set_detail("accounts[3].employee_number: '8' is the number of account 'bob' already");
    mask_personal_fields(parked);
    CHECK(parked.payload().empty());
    CHECK(event.admin().detail() == "[masked]");
    event.mutable_admin()->set_detail("the database is away");
    mask_personal_fields(event);
    CHECK(event.admin().detail() == "the database is away");
}

TEST_CASE("auditors read accounts and the record without personal fields; privacy officers with them") {
    TestGateway gateway;
    create_alice(gateway);
    const auto auditor = gateway.sign_in(gateway.account("carol", auth::Role::auditor));
    const auto channel = gateway.tunnel();
    for (const auto role : {auth::Role::privacy_officer, auth::Role::administrator}) {
        const auto seeing = gateway.sign_in(gateway.account("sees" + std::to_string(static_cast<int>(role)), role));
        const auto whole = alice_as(channel, seeing.token);
        CHECK(whole.office_mail() == "alice@corp.example");
        CHECK(whole.employee_number() == "4711");
        CHECK(whole.source() == "hr");
        CHECK(whole.outside_id() == "x-100");
        CHECK(whole.masked_fields().empty());
        CHECK(contains(creation_as(channel, seeing.token).after_json(), "alice@corp.example"));
    }

    // That a privacy officer looked is on record.
    std::size_t looks = 0;
    for (const auto& act : gateway.acts())
        if (act.action() == "account.get" && act.resource() == "accounts/alice") ++looks;
    CHECK(looks == 1);

    const auto masked = alice_as(channel, auditor.token);
    CHECK(masked.username() == "alice");
    CHECK(masked.department() == "Finance");
    CHECK(masked.source() == "hr");
    CHECK((masked.office_mail() + masked.office_phone() + masked.employee_number() + masked.outside_id()).empty());
    CHECK(std::vector<std::string>(masked.masked_fields().begin(), masked.masked_fields().end()) ==
          std::vector<std::string>{"office_mail", "office_phone", "employee_number", "outside_id"});
    const auto record = creation_as(channel, auditor.token);
    CHECK(contains(record.after_json(), R"("username":"alice")"));
    CHECK(contains(record.after_json(), R"("office_mail":"[masked]")"));
    for (const char* value : {"corp.example", "1234", "4711", "x-100"})
        CHECK_FALSE(contains(record.after_json(), value));

    v1::ListAccountsResponse all;
    ClientCall call(auditor.token);
    REQUIRE(v1::AccountService::NewStub(channel)->ListAccounts(&call, {}, &all).ok());
    for (const auto& account : all.accounts()) CHECK(account.office_mail().empty());
}

TEST_CASE("a tail shows what its caller's role is now, not what it was at its start") {
    TestGateway gateway;
    const auto officer = gateway.account("carol", auth::Role::privacy_officer);
    const auto signed_in = gateway.sign_in(officer);
    v1::TailRequest request;
    request.set_follow(true);
    request.set_filter("type = admin AND NOT username = \"carol\"");
    ClientCall call(signed_in.token);
    auto reader = v1::AuditService::NewStub(gateway.tunnel())->Tail(&call, request);
    const auto next = [&] {
        v1::TailResponse item;
        do REQUIRE(reader->Read(&item));
        while (!item.has_event());
        return item.event().admin();
    };
    v1::TailResponse first;
    REQUIRE(reader->Read(&first));  // it is where it waits
    const auto update_mail = [&](const std::string& username, const std::string& mail) {
        v1::UpdateAccountRequest update;
        update.mutable_account()->set_name("accounts/" + username);
        update.mutable_account()->set_office_mail(mail);
        update.mutable_update_mask()->add_paths("office_mail");
        v1::Account updated;
        ClientCall one;
        REQUIRE(v1::AccountService::NewStub(gateway.local())->UpdateAccount(&one, update, &updated).ok());
    };
    update_mail("carol", "c@corp.example");
    CHECK(contains(next().after_json(), "c@corp.example"));
    auth::AccountUpdate demotion;
    demotion.role = auth::Role::auditor;
    REQUIRE(
        gateway.directory->update_account("carol", demotion, [](const auth::Change&) { return base::Result<void>{}; })
            .ok());
    update_mail("carol", "d@corp.example");
    const auto after = next();
    CHECK(contains(after.after_json(), R"("office_mail":"[masked]")"));
    CHECK_FALSE(contains(after.before_json(), "corp.example"));
    call.TryCancel();
}
