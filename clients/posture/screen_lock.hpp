#pragma once
#include <functional>
#include <optional>

#include "base/result.hpp"
#include "clients/posture/desktop.hpp"
#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// Whether the desktop locks the screen by itself some time after nobody has used it. GNOME (where GDM runs, without
/// which it has no lock), Cinnamon and MATE say so in GSettings, Plasma in kscreenlockerrc. Nullopt for other desktops,
/// for none, in a container, which sees other settings than its desktop, and where one of the settings is not told.
/// That a desktop is set to lock is not that its screen is locked now; what keeps it awake (a film) is not seen, nor
/// that an account has no password. An error: it could not be found out this time.
base::Result<std::optional<bool>> screen_lock(const SystemTree& tree, const Desktop& desktop);

/// Looks again and again. One thread.
class ScreenLock {
public:
    using Finder = std::function<base::Result<Desktop>(const StopSignal*)>;
    explicit ScreenLock(Finder finder = find_desktop) : finder_(std::move(finder)) {}

    /// As screen_lock(). Where it cannot be found out this time, as on a machine that just woke up, what was found last
    /// stands for up to five looks: a policy that asks for it ends the tunnels of a device that does not tell.
    std::optional<bool> look(const SystemTree& tree, const StopSignal* stop);

private:
    Finder finder_;
    std::optional<bool> last_;
    unsigned failed_ = 0;
};

}  // namespace usher::clients
