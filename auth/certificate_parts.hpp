#pragma once
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"

/// What certificates of our own making have in common. Pure but for the randomness of a serial.
namespace usher::auth::x509 {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertPtr = std::unique_ptr<X509, decltype(&X509_free)>;

/// The first reason in OpenSSL's queue, which is emptied, behind `what`.
base::Error openssl_error(const std::string& what);

/// An X.509v3 extension in the words of x509v3_config(5). `issuer` may be the certificate itself.
bool add_extension(X509* cert, X509* issuer, int nid, const std::string& value);
/// 127 random bits: positive and not zero (RFC 5280 §4.1.2.2).
bool set_random_serial(X509* cert);
/// From five minutes before `now`, since a peer's clock may be a little behind, for `days`.
bool set_validity(X509* cert, base::UtcTime now, int days);
/// Version 3, the subject O and CN.
bool set_subject(X509* cert, std::string_view organization, std::string_view common_name);

}  // namespace usher::auth::x509
