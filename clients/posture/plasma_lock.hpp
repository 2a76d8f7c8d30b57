#pragma once
#include <optional>
#include <string>
#include <vector>

namespace usher::clients {

/// Whether KDE's Plasma locks the screen by itself and asks for a password then, by the texts of its kscreenlockerrc
/// files, those that count more first. What no text says has Plasma's default: it does. The files are KConfig's: the
/// last value of a key counts; "[$i]" behind a key, behind a group, or before all of them keeps those that would count
/// more from changing it; "[$d]" behind a key stands for its default. Nullopt where a number is none.
std::optional<bool> plasma_locks(const std::vector<std::string>& texts);

}  // namespace usher::clients
