#include "auth/devices.hpp"

#include <openssl/ec.h>
#include <openssl/x509.h>

#include "auth/certificate_parts.hpp"
#include "auth/known_sources.hpp"
#include "auth/sessions.hpp"
#include "auth/support.hpp"

using namespace usher;
using namespace usher::test;
using auth::CertificateRequest;
using auth::DeviceAct;
using auth::Devices;
using auth::DeviceState;
using base::Errc;

namespace {

auth::SealingKeys sealing(const std::string& fills) {
    std::vector<base::Secret> keys;
    for (const char fill : fills) keys.emplace_back(std::string(32, fill));
    return must(auth::SealingKeys::of(std::move(keys)));
}

CertificateRequest a_request() {
    const auth::x509::KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    X509_REQ* request = X509_REQ_new();
    X509_REQ_set_pubkey(request, key.get());
    X509_REQ_sign(request, key.get(), EVP_sha256());
    unsigned char* out = nullptr;
    const int length = i2d_X509_REQ(request, &out);
    const std::string der(reinterpret_cast<char*>(out), static_cast<std::size_t>(length));
    OPENSSL_free(out);
    X509_REQ_free(request);
    return must(CertificateRequest::read(der));
}

struct Fixture : DirectoryFixture {
    explicit Fixture(TestDatabase& test, auth::DeviceRules rules = {}) : DirectoryFixture(test) {
        alice = create("alice");
        bob = create("bob");
        devices = must(Devices::open(unreliable, clock, sealing("k"), rules));
        sessions = must(auth::Sessions::open(*database, clock, {}));
    }
    auth::Account alice, bob;
    std::unique_ptr<Devices> devices;
    std::unique_ptr<auth::Sessions> sessions;
    auth::EnrolledDevice enroll(const auth::Account& account, const CertificateRequest& request = a_request()) {
        return must(devices->enroll(account.id, "laptop", request, {}));
    }
    DeviceState state(const auth::Device& device) { return devices->snapshot()->by_id(device.id)->state; }
};

}  // namespace

TEST_CASE("each act is for some states only, and what is lost stays so") {
    using State = DeviceState;
    const State all[] = {State::pending, State::active, State::locked, State::lost, State::unbound};
    const auto allowed = [&](DeviceAct act) {
        std::string out;
        for (const auto from : all) {
            const auto next = auth::after(act, from);
            out += next ? std::string(to_word(*next)).substr(0, 3) + " " : "- ";
        }
        return out;
    };
    CHECK(allowed(DeviceAct::approve) == "act act - - - ");
    CHECK(allowed(DeviceAct::lock) == "loc loc loc - - ");
    CHECK(allowed(DeviceAct::unlock) == "- act act - - ");
    CHECK(allowed(DeviceAct::lose) == "los los los los - ");
    CHECK(allowed(DeviceAct::unbind) == "unb unb unb unb unb ");
}

TEST_CASE("all gateways of a database have one authority, whose key is sealed") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto second = must(Devices::open(*f.database, f.clock, sealing("k"), {}));
        CHECK_FALSE(must(f.devices->refresh()));  // a start is no change of the devices
        CHECK(second->authority().certificate() == f.devices->authority().certificate());
        CHECK(second->authority().can_issue());
        const auto rotated = must(Devices::open(*f.database, f.clock, sealing("nk"), {}));
        CHECK(rotated->authority().can_issue());
        // It has been sealed with the new key since.
        CHECK(must(Devices::open(*f.database, f.clock, sealing("n"), {}))->authority().can_issue());
        const auto keyless = must(Devices::open(*f.database, f.clock, sealing("x"), {}));
        CHECK_FALSE(keyless->authority().can_issue());
        CHECK(error_of(keyless->enroll(f.alice.id, "laptop", a_request(), {})).code == Errc::failed_precondition);
    });
}

TEST_CASE("a device is enrolled on record, once for a key, and so many for an account") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {2, false});
        const auto request = a_request();
        const auto refuses = [](const auth::Device&) -> base::Result<void> {
            return {Errc::unavailable, "the journal is full"};
        };
        CHECK(error_of(f.devices->enroll(f.alice.id, "laptop", request, refuses)).code == Errc::unavailable);
        CHECK(f.devices->snapshot()->devices().empty());
        const auto enrolled = f.enroll(f.alice, request);
        CHECK(enrolled.device.state == DeviceState::active);
        CHECK(f.devices->snapshot()->by_key(request.key_sha256())->account_id == f.alice.id);
        CHECK(error_of(f.devices->enroll(f.bob.id, "laptop", request, {})).code == Errc::already_exists);
        CHECK(error_of(f.devices->enroll(f.bob.id, "", a_request(), {})).code == Errc::invalid_argument);
        CHECK(error_of(f.devices->enroll(f.bob.id, "a\nb", a_request(), {})).code == Errc::invalid_argument);
        f.enroll(f.alice);
        CHECK(error_of(f.devices->enroll(f.alice.id, "x", a_request(), {})).code == Errc::resource_exhausted);
        must(f.devices->act(enrolled.device.id, DeviceAct::unbind, no_record));
        f.enroll(f.alice);
        // An unbound device's key is not good for another one.
        CHECK(error_of(f.devices->enroll(f.bob.id, "laptop", request, {})).code == Errc::already_exists);
    });
}

TEST_CASE("rows of unbound devices are kept for a while and not for ever") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        std::string first;
        for (std::size_t i = 0; i < auth::unbound_devices_kept + 2; ++i) {
            const auto made = f.enroll(f.alice);
            if (first.empty()) first = made.device.id;
            f.clock.advance(std::chrono::seconds(1));
            must(f.devices->act(made.device.id, DeviceAct::unbind, no_record));
        }
        f.enroll(f.alice);
        CHECK(f.devices->snapshot()->by_id(first) == nullptr);
        CHECK(f.devices->snapshot()->devices().size() == auth::unbound_devices_kept + 1);
    });
}

TEST_CASE("an act is recorded before it is in force, and another gateway learns of it") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test, {20, true});
        const auto device = f.enroll(f.alice).device;
        CHECK(device.state == DeviceState::pending);
        const auto other = must(Devices::open(*f.database, f.clock, sealing("k"), {}));
        int told = 0;
        other->set_listener([&](const auto&, const auto&) { ++told; });
        must(f.devices->act(device.id, DeviceAct::approve, f.recorder.function()));
        REQUIRE(f.recorder.changes.size() == 1);
        CHECK(f.recorder.changes[0].action == "device.approve");
        CHECK(f.recorder.changes[0].after_json.find("\"state\":\"active\"") != std::string::npos);
        must(f.devices->act(device.id, DeviceAct::approve, f.recorder.function()));
        CHECK(f.recorder.changes.size() == 1);
        CHECK(must(other->refresh()));
        CHECK_FALSE(must(other->refresh()));
        CHECK(told == 1);
        CHECK(other->snapshot()->by_id(device.id)->state == DeviceState::active);
        f.recorder.refuses = true;
        CHECK_FALSE(f.devices->act(device.id, DeviceAct::lock, f.recorder.function()).ok());
        CHECK(f.state(device) == DeviceState::active);
        CHECK(error_of(f.devices->act("nothing", DeviceAct::lock, no_record)).code == Errc::not_found);
        // An account that is deleted takes its devices along.
        must(f.directory->delete_account("alice", no_record));
        CHECK(must(other->refresh()));
        CHECK(other->snapshot()->devices().empty());
    });
}

TEST_CASE("a new certificate is of the same key, and none is made for a device that is locked") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto made = f.enroll(f.alice);
        f.clock.advance(std::chrono::hours(24 * 300));
        const auto renewed = must(f.devices->renew(made.device.id, {}));
        CHECK(renewed.device.key_sha256 == made.device.key_sha256);
        CHECK(renewed.device.serial != made.device.serial);
        CHECK(renewed.device.not_after > made.device.not_after);
        must(f.devices->act(made.device.id, DeviceAct::lock, no_record));
        CHECK(error_of(f.devices->renew(made.device.id, {})).code == Errc::failed_precondition);
    });
}

TEST_CASE("a start learns from the sessions where somebody has signed in, but for enrolled devices") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        must(f.sessions->create(f.alice, "192.0.2.1", {}));
        must(f.sessions->create(f.alice, "192.0.2.2", {}, false, f.enroll(f.alice).device.key_sha256));
        f.clock.advance(std::chrono::hours(1));
        const auto again = must(auth::Sessions::open(*f.database, f.clock, {}));
        auth::SignInThrottle throttle;
        auth::learn_sources(*again, throttle, f.clock);
        const auto rank = [&](const char* source) { return throttle.take({source, "bob"}, f.clock.mono()).rank; };
        CHECK(rank("192.0.2.1") == 0);
        CHECK(rank("192.0.2.2") == 1);
        CHECK(rank("192.0.2.3") == 1);
    });
}

TEST_CASE("a session is bound to the key of a device of its own account that may sign in, also after a restart") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto device = f.enroll(f.alice).device;
        const auto made = must(f.sessions->create(f.alice, "192.0.2.1", {}, false, device.key_sha256));
        CHECK(made.session->device_key == device.key_sha256);
        CHECK(must(f.devices->last_seen(device.id)) == f.clock.utc());
        CHECK(error_of(f.sessions->create(f.bob, "192.0.2.1", {}, false, device.key_sha256)).code ==
              Errc::failed_precondition);
        const auto unbound = must(f.sessions->create(f.alice, "192.0.2.1", {}));
        const auto again = must(auth::Sessions::open(*f.database, f.clock, {}));
        CHECK(again->find(made.session->id)->device_key == device.key_sha256);
        CHECK_FALSE(again->find(unbound.session->id)->device_key);

        must(f.devices->act(device.id, DeviceAct::lose, no_record));
        CHECK(error_of(f.sessions->create(f.alice, "192.0.2.1", {}, false, device.key_sha256)).code ==
              Errc::failed_precondition);
        CHECK(must(f.sessions->end_device(f.alice.id, device.key_sha256, auth::SessionEnd::revoked)) == 1);
        CHECK(f.sessions->find(made.session->id) == nullptr);
        CHECK(f.sessions->find(unbound.session->id) != nullptr);
        CHECK(must(auth::Sessions::open(*f.database, f.clock, {}))->find(made.session->id) == nullptr);
    });
}

TEST_CASE("a row of a device that was tampered with is named") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto device = f.enroll(f.alice).device;
        f.enroll(f.alice);
        f.tamper("UPDATE devices SET key_sha256 = public_key WHERE id = '" + device.id + "'");
        const auto error = error_of(Devices::open(*f.database, f.clock, sealing("k"), {}));
        CHECK(error.code == Errc::data_loss);
        CHECK(error.message.find(device.id) != std::string::npos);
    });
}

TEST_CASE("a row of a device with a time that is none is named, and the devices that are known stay") {
    for_each_backend([](TestDatabase& test) {
        Fixture f(test);
        const auto device = f.enroll(f.alice).device;
        for (const std::string column : {"not_after", "created_at", "updated_at"}) {
            const std::string where = " WHERE id = '" + device.id + "'";
            f.tamper("UPDATE devices SET " + column + " = 9223372036854775807" + where);
            f.tamper("UPDATE device_state SET version = version + 1");
            CHECK(error_of(Devices::open(*f.database, f.clock, sealing("k"), {})).code == Errc::data_loss);
            CHECK_FALSE(f.devices->refresh().ok());
            CHECK(f.devices->snapshot()->by_id(device.id) != nullptr);
            f.tamper("UPDATE devices SET " + column + " = 1" + where);
        }
        CHECK(f.devices->refresh().ok());
    });
}
