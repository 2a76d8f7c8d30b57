#include "clients/device/device_store.hpp"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "clients/common/private_file.hpp"

using namespace usher::clients;
using namespace usher::clients::device;
using usher::base::Errc;

namespace {

struct Folder {
    Folder() {
        std::string name = std::filesystem::temp_directory_path() / "usher-store-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    void write(const std::string& name, const std::string& text) const {
        REQUIRE(write_private_file(path + "/" + name, text).ok());
    }
    bool has(const std::string& name) const { return std::filesystem::exists(path + "/" + name); }
    std::string path;
};

/// Of the key, signed by itself: the store does not ask who signed.
std::string certificate_of(const KeyHandle& key) {
    const std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), X509_free);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
    X509_set_pubkey(made.get(), key.get());
    REQUIRE(X509_sign(made.get(), key.get(), EVP_sha256()) > 0);
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new(BIO_s_mem()), BIO_free_all);
    REQUIRE(PEM_write_bio_X509(bio.get(), made.get()) == 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

// No module is at that path, so whatever needs the token fails and says so.
const std::string reference = "pkcs11:token=t;object=usher;id=%01%02;type=private?module-path=/nowhere/module.so\n";

}  // namespace

TEST_CASE("a machine that was enrolled with a key in a file goes on") {
    const Folder folder;
    DeviceStore store(folder.path);
    CHECK_FALSE(store.load()->has_value());
    CHECK_FALSE(store.place()->has_value());
    FileDeviceKey key(folder.path + "/device.key");
    CHECK_FALSE(store.key_shown()->has_value());
    folder.write("device.pem", certificate_of(key.make().value()));
    CHECK(store.load()->has_value());
    REQUIRE(store.place()->has_value());
    CHECK_FALSE(store.place()->value().has_value());
    CHECK(store.key_shown()->value() == folder.path + "/device.key");
}

TEST_CASE("an enrolment that came to no end leaves the present key, and its own goes") {
    const Folder folder;
    DeviceStore store(folder.path);
    REQUIRE(store.commit(certificate_of(store.begin({}).value())).ok());
    const std::string before = store.load()->value().pem;
    REQUIRE(store.begin({}).ok());
    CHECK(folder.has("device.key.new"));
    CHECK(store.load()->value().pem == before);
    CHECK(store.clean_up().empty());
    CHECK_FALSE(folder.has("device.key.new"));
    CHECK(store.load()->value().pem == before);
    // A certificate of another key changes nothing either.
    REQUIRE(store.begin({}).ok());
    const KeyHandle other(EVP_EC_gen("P-256"), EVP_PKEY_free);
    CHECK_FALSE(store.commit(certificate_of(other)).ok());
    CHECK(store.load()->value().pem == before);
    CHECK_FALSE(store.renew(certificate_of(other)).ok());
    CHECK(store.renew(certificate_of(store.load()->value().key)).ok());
}

TEST_CASE("a key on a token is told from one in a file, and its token is asked only where there is a certificate") {
    const Folder folder;
    DeviceStore store(folder.path);
    folder.write("device.key", reference);
    REQUIRE(store.place()->has_value());
    REQUIRE(store.place()->value().has_value());
    CHECK(store.place()->value()->label() == "usher");
    CHECK_FALSE(store.load()->has_value());
    CHECK_FALSE(store.key_shown()->has_value());
    const KeyHandle any(EVP_EC_gen("P-256"), EVP_PKEY_free);
    folder.write("device.pem", certificate_of(any));
    const auto shown = store.key_shown()->value();
    CHECK(shown.starts_with("pkcs11:"));
    CHECK(shown.find("object=usher") != std::string::npos);
    CHECK(shown.find('?') == std::string::npos);
    const auto loaded = store.load();
    REQUIRE_FALSE(loaded.ok());
    CHECK(loaded.error().code == Errc::not_found);
    CHECK(loaded.error().message.find("/nowhere/module.so cannot be loaded") != std::string::npos);
}

TEST_CASE("a reference that is damaged or that others can read is refused, and says how to go on") {
    const Folder folder;
    const DeviceStore store(folder.path);
    for (const std::string& text : {std::string("pkcs11:"), std::string("pkcs11:token=t\n"), reference + reference,
                                    std::string("pkcs11:token=t;object=u;id=%01?pin-value=1234\n")}) {
        folder.write("device.key", text);
        const auto place = store.place();
        REQUIRE_FALSE(place.ok());
        CHECK(place.error().code == Errc::data_loss);
        CHECK(place.error().message.find("usher enroll --replace") != std::string::npos);
        CHECK(place.error().message.find("1234") == std::string::npos);
    }
    folder.write("device.key", reference);
    REQUIRE(::chmod((folder.path + "/device.key").c_str(), 0644) == 0);
    CHECK(store.place().error().code == Errc::permission_denied);
}

TEST_CASE("a replaced key whose token is away is said once, with its URI, and stops nothing") {
    const Folder folder;
    DeviceStore store(folder.path);
    folder.write("device.key", reference);
    const auto made = store.begin({});
    REQUIRE(made.ok());
    REQUIRE(store.commit(certificate_of(*made)).ok());
    CHECK(store.load()->has_value());
    CHECK(folder.has("device.key.old"));
    const auto kept = store.clean_up();
    REQUIRE(kept.size() == 1);
    CHECK(kept[0].message.find("id=%01%02") != std::string::npos);
    CHECK(store.clean_up().empty());
}

TEST_CASE("a commit that was cut off before its rename leaves the present key on its token") {
    const Folder folder;
    DeviceStore store(folder.path);
    folder.write("device.key", reference);
    folder.write("device.key.old", reference);
    // The token is not asked for anything, or this would be an error.
    CHECK(store.clean_up().empty());
    CHECK_FALSE(folder.has("device.key.old"));
    CHECK(folder.has("device.key"));
    // Files that somebody put back from a backup may name it as a new one.
    folder.write("device.key.new", reference);
    CHECK(store.clean_up().empty());
    CHECK_FALSE(folder.has("device.key.new"));
    CHECK(folder.has("device.key"));
}

TEST_CASE("one process at a time enrols") {
    const Folder folder;
    auto first = DeviceStore(folder.path).alone();
    REQUIRE(first.ok());
    CHECK(DeviceStore(folder.path).alone().error().message.find("another usher enroll") != std::string::npos);
    first->reset();
    CHECK(DeviceStore(folder.path).alone().ok());
}
