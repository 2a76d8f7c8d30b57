#pragma once
#include <string>
#include <utility>
#include <variant>

namespace usher::base {

/// The closed set of expected failures. They map one to one onto gRPC status codes in the control services.
enum class Errc {
    invalid_argument,     ///< the caller's input is wrong; trying again does not help
    not_found,            ///< the named thing does not exist
    already_exists,       ///< the name is taken
    failed_precondition,  ///< right request, wrong state (an app that a policy still names)
    permission_denied,    ///< known caller, not allowed
    unauthenticated,      ///< unknown caller
    resource_exhausted,   ///< a bound was reached (queue, disk, throttle)
    unavailable,          ///< a database, file or peer is away now; trying again may help
    deadline_exceeded,    ///< it took too long
    data_loss,            ///< stored bytes are not what was written
    internal,             ///< a programming error, or an error nobody expected
};

/// An expected failure. `message` is for the operator: what failed, on what, why, what to do. It is never sent to an
/// unauthenticated peer and holds no secret.
struct Error {
    Errc code;
    std::string message;
};

/// Either a value or an Error. Reading the side that is not there is a programming error and ends the program
/// (std::get throws std::bad_variant_access).
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
    Result(Errc code, std::string message) : state_(std::in_place_index<1>, Error{code, std::move(message)}) {}

    bool ok() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    T& value() & { return std::get<0>(state_); }
    const T& value() const& { return std::get<0>(state_); }
    T&& value() && { return std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)), ok_(false) {}
    Result(Errc code, std::string message) : error_{code, std::move(message)}, ok_(false) {}

    bool ok() const noexcept { return ok_; }
    explicit operator bool() const noexcept { return ok_; }
    const Error& error() const& { return error_; }
    Error&& error() && { return std::move(error_); }

private:
    Error error_{Errc::internal, {}};
    bool ok_ = true;
};

}  // namespace usher::base
