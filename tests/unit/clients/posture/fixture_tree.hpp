#pragma once
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "clients/posture/system_tree.hpp"

namespace usher::clients {

/// A folder that stands for the root of a system, and goes with the test.
class FixtureTree {
public:
    FixtureTree() {
        std::string name = std::filesystem::temp_directory_path() / "usher-posture-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        root_ = name;
    }
    ~FixtureTree() { std::filesystem::remove_all(root_); }
    FixtureTree(const FixtureTree&) = delete;
    FixtureTree& operator=(const FixtureTree&) = delete;

    std::string at(std::string_view path) const { return root_ + std::string(path); }
    void folder(std::string_view path) const { std::filesystem::create_directories(at(path)); }
    void file(std::string_view path, std::string_view content) const {
        const std::filesystem::path place = at(path);
        std::filesystem::create_directories(place.parent_path());
        std::ofstream(place, std::ios::binary) << content;
    }
    void link(std::string_view path, const std::string& target) const {
        const std::filesystem::path place = at(path);
        std::filesystem::create_directories(place.parent_path());
        std::filesystem::remove(place);
        std::filesystem::create_symlink(target, place);
    }
    SystemTree tree() const { return SystemTree(root_); }
    const std::string& root() const noexcept { return root_; }

private:
    std::string root_;
};

}  // namespace usher::clients
