// EC_KEY_METHOD is deprecated since OpenSSL 3.0, see the header.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "clients/device/signing_handle.hpp"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <new>

namespace usher::clients::device {

using base::Errc;
using base::Error;
using base::Result;

namespace {

using SignaturePtr = std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)>;

// OpenSSL's queue takes fixed texts only. What is behind one in full is said where the key is next looked for.
enum Reason : int { gone = 1, pin, other };

int error_library() {
    static const int library = [] {
        const int number = ERR_get_next_error_library();
        static std::array<ERR_STRING_DATA, 4> texts{
            {{ERR_PACK(0, 0, gone), "the token with this device's key is not there"},
             {ERR_PACK(0, 0, pin), "the token with this device's key refuses its PIN"},
             {ERR_PACK(0, 0, other), "the token with this device's key did not sign"},
             {0, nullptr}}};
        ERR_load_strings(number, texts.data());
        return number;
    }();
    return library;
}

void put_reason(Errc code) {
    const bool away = code == Errc::unavailable || code == Errc::not_found;
    const bool about_pin = code == Errc::permission_denied;
    ERR_raise(error_library(), away ? gone : about_pin ? pin : other);
}

/// A key that is copied has the function as well.
int copy_function(CRYPTO_EX_DATA*, const CRYPTO_EX_DATA*, void** held, int, long, void*) {
    if (*held != nullptr) *held = new SignDigest(*static_cast<const SignDigest*>(*held));
    return 1;
}
void free_function(void*, void* held, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<SignDigest*>(held); }

int function_place() {
    static const int place = EC_KEY_get_ex_new_index(0, nullptr, nullptr, copy_function, free_function);
    if (place < 0) throw std::bad_alloc();
    return place;
}

/// A module shares this process's OpenSSL. What it leaves in the queue is nobody's error, and would be taken for the
/// handshake's.
class OwnErrorsOnly {
public:
    OwnErrorsOnly() noexcept { ERR_set_mark(); }
    ~OwnErrorsOnly() { ERR_pop_to_mark(); }
    OwnErrorsOnly(const OwnErrorsOnly&) = delete;
    OwnErrorsOnly& operator=(const OwnErrorsOnly&) = delete;
};

std::optional<Bytes> sign_der(const unsigned char* digest, int length, const EC_KEY* key) noexcept {
    try {
        const auto* sign = static_cast<const SignDigest*>(EC_KEY_get_ex_data(key, function_place()));
        if (sign == nullptr || length <= 0) return std::nullopt;
        // The leftmost bits of a longer digest count (FIPS 186-4 §6.4); not every token knows that.
        auto signature = [&] {
            const OwnErrorsOnly own;
            return (*sign)({digest, std::min<std::size_t>(static_cast<std::size_t>(length), 32)});
        }();
        auto der = signature ? der_signature(*signature) : std::nullopt;
        if (!der) put_reason(signature ? Errc::internal : signature.error().code);
        return der;
    } catch (...) {
        // C code called; the handshake fails, as with any other reason.
        put_reason(Errc::internal);
        return std::nullopt;
    }
}

int sign(int, const unsigned char* digest, int length, unsigned char* out, unsigned int* out_length, const BIGNUM*,
         const BIGNUM*, EC_KEY* key) {
    const auto der = sign_der(digest, length, key);
    if (!der) return 0;
    std::copy(der->begin(), der->end(), out);  // OpenSSL asks for ECDSA_size(), 72
    *out_length = static_cast<unsigned int>(der->size());
    return 1;
}

ECDSA_SIG* sign_to_object(const unsigned char* digest, int length, const BIGNUM*, const BIGNUM*, EC_KEY* key) {
    const auto der = sign_der(digest, length, key);
    if (!der) return nullptr;
    const unsigned char* at = der->data();
    return d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der->size()));
}

const EC_KEY_METHOD* method() {
    static const EC_KEY_METHOD* made = [] {
        EC_KEY_METHOD* own = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
        if (own == nullptr) throw std::bad_alloc();
        EC_KEY_METHOD_set_sign(own, sign, nullptr, sign_to_object);
        return own;
    }();
    return made;
}

}  // namespace

Result<KeyHandle> signing_handle(const P256Point& point, SignDigest sign_function) {
    ERR_clear_error();
    std::unique_ptr<EC_KEY, decltype(&EC_KEY_free)> key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1), EC_KEY_free);
    KeyHandle handle(EVP_PKEY_new(), EVP_PKEY_free);
    if (!key || !handle) throw std::bad_alloc();
    const bool good =
        EC_KEY_oct2key(key.get(), point.data(), point.size(), nullptr) == 1 && EC_KEY_check_key(key.get()) == 1;
    ERR_clear_error();
    if (!good) return Error{Errc::invalid_argument, "the token gives a public key that is not on the curve P-256"};
    auto held = std::make_unique<SignDigest>(std::move(sign_function));
    if (EC_KEY_set_method(key.get(), method()) != 1 || EC_KEY_set_ex_data(key.get(), function_place(), held.get()) != 1)
        throw std::bad_alloc();
    held.release();
    if (EVP_PKEY_assign_EC_KEY(handle.get(), key.get()) != 1) throw std::bad_alloc();
    key.release();
    return handle;
}

}  // namespace usher::clients::device
