#include "gateway/tls/generated_identity.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>

#include "auth/certificate_parts.hpp"
#include "base/net.hpp"
#include "gateway/data_dir.hpp"

namespace usher::gateway::tls {
namespace {

using auth::x509::add_extension;
using auth::x509::CertPtr;
using auth::x509::KeyPtr;
using auth::x509::openssl_error;
using base::Errc;
using base::Error;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

constexpr long day_seconds = 24 * 3600;

struct Template {
    std::string common_name;
    int days;
    bool authority;
    std::string alternative_names;
};

CertPtr make_certificate(const Template& t, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key, base::UtcTime now) {
    CertPtr cert(X509_new(), X509_free);
    if (!cert) return cert;
    X509* issued_by = issuer != nullptr ? issuer : cert.get();
    const bool ok =
        auth::x509::set_subject(cert.get(), "Usher", t.common_name) && auth::x509::set_random_serial(cert.get()) &&
        X509_set_issuer_name(cert.get(), X509_get_subject_name(issued_by)) == 1 &&
        auth::x509::set_validity(cert.get(), now, t.days) && X509_set_pubkey(cert.get(), key) == 1 &&
        add_extension(cert.get(), issued_by, NID_basic_constraints,
                      t.authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") &&
        add_extension(cert.get(), issued_by, NID_key_usage,
                      t.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
        add_extension(cert.get(), issued_by, NID_subject_key_identifier, "hash") &&
        (t.authority || (add_extension(cert.get(), issued_by, NID_authority_key_identifier, "keyid:always") &&
                         add_extension(cert.get(), issued_by, NID_ext_key_usage, "serverAuth") &&
                         add_extension(cert.get(), issued_by, NID_subject_alt_name, t.alternative_names))) &&
        X509_sign(cert.get(), issuer_key, EVP_sha256()) > 0;
    if (!ok) cert.reset();
    return cert;
}

std::string drain(BIO* bio) {
    char* data = nullptr;
    const long n = BIO_get_mem_data(bio, &data);
    return n > 0 ? std::string(data, static_cast<std::size_t>(n)) : std::string();
}

std::string pem_of(X509* cert) {
    BioPtr bio(BIO_new(BIO_s_mem()), BIO_free_all);
    return bio && PEM_write_bio_X509(bio.get(), cert) == 1 ? drain(bio.get()) : std::string();
}

std::string pem_of(EVP_PKEY* key) {
    BioPtr bio(BIO_new(BIO_s_secmem()), BIO_free_all);
    return bio && PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1
               ? drain(bio.get())
               : std::string();
}

CertPtr read_certificate(const std::string& path) {
    BioPtr bio(BIO_new_file(path.c_str(), "r"), BIO_free_all);
    return CertPtr(bio ? PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr) : nullptr, X509_free);
}

KeyPtr read_key(const std::string& path) {
    BioPtr bio(BIO_new_file(path.c_str(), "r"), BIO_free_all);
    return KeyPtr(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr) : nullptr, EVP_PKEY_free);
}

base::Result<void> store(const std::string& base, X509* cert, EVP_PKEY* key) {
    const std::string cert_pem = pem_of(cert);
    std::string key_pem = pem_of(key);
    if (cert_pem.empty() || key_pem.empty()) return openssl_error("encoding " + base + ".pem");
    // The key first: a certificate without its key would look complete to the next start.
    auto written = write_file_atomically(base + ".key", key_pem, 0600);
    OPENSSL_cleanse(key_pem.data(), key_pem.size());
    if (written) written = write_file_atomically(base + ".pem", cert_pem, 0644);
    return written;
}

std::string alternative_names() {
    std::string names = "DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1";
    char host[256] = {};
    if (::gethostname(host, sizeof host - 1) == 0) {
        const auto name = base::canonical_host_name(host);
        if (name && *name != "localhost") names += ",DNS:" + *name;
    }
    return names;
}

}  // namespace

base::Result<IdentityFiles> ensure_generated_identity(const std::string& directory, base::UtcTime now) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
        return Error{Errc::failed_precondition,
                     directory + " cannot be made: " + std::generic_category().message(errno)};
    const std::string ca = directory + "/ca", server = directory + "/server";
    const IdentityFiles files{server + ".pem", server + ".key"};
    std::error_code ec;
    const auto exists = [&](const std::string& path) { return std::filesystem::exists(path, ec); };

    KeyPtr ca_key(nullptr, EVP_PKEY_free);
    CertPtr ca_cert(nullptr, X509_free);
    if (exists(ca + ".pem")) {
        ca_cert = read_certificate(ca + ".pem");
        ca_key = read_key(ca + ".key");
        if (!ca_cert || !ca_key)
            return Error{Errc::data_loss,
                         ca +
                             ".pem or ca.key cannot be read as a certificate and its key; restore them, or "
                             "remove the directory " +
                             directory + " to make new ones (clients must then trust the new ca.pem)"};
    } else {
        ca_key.reset(EVP_EC_gen("P-256"));
        if (!ca_key) return openssl_error("making the CA's key");
        ca_cert = make_certificate({"Usher generated CA", 3650, true, ""}, ca_key.get(), nullptr, ca_key.get(), now);
        if (!ca_cert) return openssl_error("making the CA's certificate");
        if (auto stored = store(ca, ca_cert.get(), ca_key.get()); !stored) return stored.error();
    }

    if (exists(files.certificate)) {
        CertPtr cert = read_certificate(files.certificate);
        KeyPtr key = read_key(files.private_key);
        time_t limit = static_cast<time_t>(base::to_micros(now) / 1'000'000) + 30 * day_seconds;
        if (cert && key && X509_cmp_time(X509_get0_notAfter(cert.get()), &limit) > 0) return files;
    }
    KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    if (!key) return openssl_error("making the server's key");
    CertPtr cert = make_certificate({"Usher gateway", 397, false, alternative_names()}, key.get(), ca_cert.get(),
                                    ca_key.get(), now);
    if (!cert) return openssl_error("making the server's certificate");
    if (auto stored = store(server, cert.get(), key.get()); !stored) return stored.error();
    return files;
}

}  // namespace usher::gateway::tls
