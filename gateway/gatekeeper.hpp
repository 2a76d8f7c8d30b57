#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "auth/devices.hpp"
#include "auth/directory.hpp"
#include "auth/policy.hpp"
#include "auth/sessions.hpp"
#include "base/net.hpp"
#include "gateway/control_age.hpp"
#include "gateway/cut_off.hpp"
#include "gateway/live_access.hpp"
#include "gateway/record.hpp"
#include "wire/http1/authorization.hpp"

namespace usher::gateway {

/// Somebody may use an app: what is needed to dial it, and the record as far as it is known.
struct Admission {
    auth::SessionPtr session;
    bool control = false;  ///< the built-in app: served inside of the process, not dialled
    std::vector<base::Cidr> allow_addresses;
    AccessRecord record;
};

/// Nobody may, and why. `detail` is what the client is told; the record holds the true reason.
struct Refusal {
    int status = 403;
    std::string detail;
    AccessRecord record;
};

using Credential = std::variant<std::monostate, wire::http1::Bearer, wire::http1::Basic>;

/// Whether it is the built-in app, the control API, at its one destination.
bool is_control(const base::Destination& destination);

/// The one place where it is decided whether a connection may be. Thread-safe; memory only, no waiting.
class Gatekeeper {
public:
    Gatekeeper(const auth::Directory& directory, auth::Sessions& sessions, const auth::Devices& devices,
               const base::Clock& clock, const ControlAge& control, const CutOff& cut_off)
        : directory_(directory),
          sessions_(sessions),
          devices_(devices),
          clock_(clock),
          control_(control),
          cut_off_(cut_off) {}

    /// Authenticates, finds the app and authorizes. A destination of no app and one that policy denies look the same
    /// from outside.
    std::variant<Admission, Refusal> admit(const Credential& credential, const base::Destination& destination,
                                           const Peer& peer);

    /// Says of live accesses, one after another, whether each would still be admitted, by what is known at the moment
    /// of its making. It is quickest where those of one session come in a row. For one thread, and a short time.
    class Judge {
    public:
        explicit Judge(const Gatekeeper& gatekeeper);
        /// The reason to cut the access; nullopt where it stands.
        std::optional<CloseReason::Value> operator()(const LiveAccess& access);

    private:
        void take(const LiveAccess& access);

        const Gatekeeper& gatekeeper_;
        const base::UtcTime now_;
        const auth::Snapshot directory_;
        const auth::DevicesNow devices_;
        // What is the same for all accesses of a session.
        const auth::Session* session_ = nullptr;
        std::optional<CloseReason::Value> over_{};  ///< why none of them stands
        const auth::Account* account_ = nullptr;
        auth::Context context_{};
        std::string client_ip_;  ///< of context_
    };
    /// One access alone.
    std::optional<CloseReason::Value> judge(const LiveAccess& access) const { return Judge(*this)(access); }

    /// Whether judge() may say something else at `to` than at `from` although nothing was changed: a window of a policy
    /// or an account's validity began or ended.
    bool time_matters(base::UtcTime from, base::UtcTime to) const;

    /// The shortest age of a second factor that a policy asks for. judge() may say something else, although nothing was
    /// changed, of an access whose session's second factor is older.
    std::optional<base::Microseconds> shortest_mfa_within() const;

    /// How old what is known here may be.
    base::Microseconds control_age() const { return control_.age(clock_.mono()); }
    /// Whether judge() may say something else at the second age than at the first: apps whose accesses are to be
    /// closed.
    bool control_loss_matters(base::Microseconds from, base::Microseconds to) const;

    /// What is known of an attempt by the session from that address and that device at `now`.
    auth::Context context(const auth::Session& session, const std::string& client_ip, const auth::Device* device,
                          base::UtcTime now) const;

    /// The session and account of a credential, and the device that the session is bound to.
    struct Subject {
        auth::SessionPtr session;
        auth::Snapshot directory;
        const auth::Account* account;  ///< in `directory`
        auth::DevicesNow devices{};
        const auth::Device* device = nullptr;  ///< in `devices`; null for a session that is not bound
    };
    /// The subject, unless session or account is not valid now, or the session is bound to a device whose key the
    /// connection has not proved or whose state does not allow it. `misused` is the subject of a good token that was
    /// shown without its device, and `reason` what goes on record about that.
    struct Authentication {
        std::optional<Subject> subject{}, misused{};
        std::string reason{};
    };
    Authentication authenticate(const Credential& credential, const Peer& peer);
    /// The record of a token that was shown without its device; nullopt when that is not what went wrong.
    std::optional<AccessRecord> misuse_record(const Authentication& failed, const Peer& peer) const;

private:
    const auth::Directory& directory_;
    auth::Sessions& sessions_;
    const auth::Devices& devices_;
    const base::Clock& clock_;
    const ControlAge& control_;
    const CutOff& cut_off_;
};

}  // namespace usher::gateway
