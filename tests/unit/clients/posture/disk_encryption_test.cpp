#include "clients/posture/disk_encryption.hpp"

#include "clients/posture/fixture_tree.hpp"

using namespace usher::clients;

namespace {

/// A system whose / is on `device`.
struct Disks : FixtureTree {
    void mounted(const std::string& device, const std::string& type = "ext4", const std::string& source = "/dev/x") {
        file("/proc/self/mountinfo", "22 1 0:5 / /proc rw - proc proc rw\n23 1 " + device +
                                         " / / rw,relatime shared:1 - " + type + " " + source + " rw\n");
    }
    /// A disk with hardware behind it, and its first partition.
    void disk(const std::string& name, const std::string& number, const std::string& partition) {
        const std::string at = "/sys/devices/pci/block/" + name;
        file(at + "/dev", number + "\n");
        folder(at + "/device");
        folder(at + "/slaves");
        file(at + "/" + name + "1/dev", partition + "\n");
        file(at + "/" + name + "1/partition", "1\n");
        named(name, number, "pci/block/" + name);
        named(name + "1", partition, "pci/block/" + name + "/" + name + "1");
    }
    /// A device of the mapper on top of `below` (places below /sys/devices).
    void mapped(const std::string& name, const std::string& number, const std::string& uuid,
                std::initializer_list<std::pair<const char*, const char*>> below) {
        const std::string at = "/sys/devices/virtual/block/" + name;
        file(at + "/dev", number + "\n");
        file(at + "/dm/uuid", uuid + "\n");
        file(at + "/dm/name", "mapped-" + name + "\n");
        folder(at + "/slaves");
        for (const auto& [slave, place] : below) link(at + "/slaves/" + slave, std::string("../../../../") + place);
        named(name, number, "virtual/block/" + name);
    }
    void named(const std::string& name, const std::string& number, const std::string& place) {
        link("/sys/dev/block/" + number, "../../devices/" + place);
        link("/sys/class/block/" + name, "../../devices/" + place);
    }
    std::optional<bool> encrypted() const { return disk_encrypted(tree()); }
};

constexpr std::pair<const char*, const char*> sda1{"sda1", "pci/block/sda/sda1"}, sdb1{"sdb1", "pci/block/sdb/sdb1"},
    dm0{"dm-0", "virtual/block/dm-0"}, dm1{"dm-1", "virtual/block/dm-1"};

}  // namespace

TEST_CASE("the root is what was mounted on / last", "[posture]") {
    const auto one = root_mount("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 254:0 / / rw a:1 b:2 - xfs /dev/dm-0 rw\n");
    REQUIRE(one.has_value());
    CHECK(one->device == "254:0");
    CHECK(one->type == "xfs");
    CHECK(one->source == "/dev/dm-0");
    for (const char* bad :
         {"", "\n", "1 0 8:1 / /", "1 0 8:1 / / rw -", "1 0 8 / / rw - ext4 x rw", "1 0 a:b / / rw - e x",
          "1 0 8:1/../../x / / rw - ext4 x rw", "1 0 8:1 / /home rw - ext4 x rw"})
        CHECK_FALSE(root_mount(bad).has_value());
}

TEST_CASE("a root on a plain partition is not encrypted, one on dm-crypt is, also through LVM", "[posture]") {
    Disks disks;
    CHECK_FALSE(disks.encrypted().has_value());
    disks.disk("sda", "8:0", "8:1");
    disks.mounted("8:1");
    CHECK(disks.encrypted() == false);
    disks.mapped("dm-0", "254:0", "CRYPT-LUKS2-0123-crypt", {sda1});
    disks.mounted("254:0");
    CHECK(disks.encrypted() == true);
    disks.mapped("dm-1", "254:1", "LVM-abc", {dm0});
    disks.mounted("254:1");
    CHECK(disks.encrypted() == true);
    disks.mapped("dm-2", "254:2", "LVM-def", {sda1});
    disks.mounted("254:2");
    CHECK(disks.encrypted() == false);
}

TEST_CASE("one plain disk among encrypted ones is enough for no", "[posture]") {
    Disks disks;
    disks.disk("sda", "8:0", "8:1");
    disks.disk("sdb", "8:16", "8:17");
    disks.mapped("dm-0", "254:0", "CRYPT-LUKS1-0123-crypt", {sda1});
    disks.mapped("dm-1", "254:1", "LVM-abc", {dm0, sdb1});
    disks.mounted("254:1");
    CHECK(disks.encrypted() == false);
}

TEST_CASE("verity and integrity encrypt nothing, and a kind that is not known is not known", "[posture]") {
    Disks disks;
    disks.disk("sda", "8:0", "8:1");
    disks.mounted("254:0");
    for (const char* uuid :
         {"CRYPT-VERITY-0123-root", "CRYPT-INTEGRITY-x", "CRYPT-SUBDEV-0123-root", "crypt-LUKS2-x"}) {
        disks.mapped("dm-0", "254:0", uuid, {sda1});
        CHECK(disks.encrypted() == false);
    }
    disks.mapped("dm-0", "254:0", "CRYPT-FUTURE-0123-root", {sda1});
    CHECK_FALSE(disks.encrypted().has_value());
}

TEST_CASE("a loop in the devices, a device without hardware and a foreign file system are not known", "[posture]") {
    Disks disks;
    disks.mapped("dm-0", "254:0", "LVM-a", {dm1});
    disks.mapped("dm-1", "254:1", "LVM-b", {dm0, dm1});
    disks.mounted("254:0");
    CHECK_FALSE(disks.encrypted().has_value());
    disks.mapped("dm-0", "254:0", "LVM-a", {});
    std::filesystem::remove_all(disks.at("/sys/devices/virtual/block/dm-0/slaves"));
    CHECK_FALSE(disks.encrypted().has_value());
    disks.mounted("0:30", "overlay", "overlay");
    CHECK_FALSE(disks.encrypted().has_value());
    disks.mounted("9:9");
    CHECK_FALSE(disks.encrypted().has_value());
    disks.disk("sda", "8:0", "8:1");
    disks.mounted("8:1");
    CHECK(disks.encrypted() == false);
    disks.file("/proc/self/mountinfo", std::string(2 * 1024 * 1024, '\n'));
    CHECK_FALSE(disks.encrypted().has_value());
}

TEST_CASE("a btrfs is encrypted when each of its devices is", "[posture]") {
    Disks disks;
    disks.disk("sda", "8:0", "8:1");
    disks.disk("sdb", "8:16", "8:17");
    disks.mapped("dm-0", "254:0", "CRYPT-LUKS2-0123-crypt", {sda1});
    disks.mounted("0:25", "btrfs", "/dev/mapper/mapped-dm-0");
    CHECK_FALSE(disks.encrypted().has_value());  // its other devices are not told
    disks.folder("/sys/fs/btrfs/features");
    disks.file("/sys/fs/btrfs/0123/devices/dm-0", "");
    CHECK(disks.encrypted() == true);
    disks.file("/sys/fs/btrfs/0123/devices/sdb1", "");
    CHECK(disks.encrypted() == false);
    disks.mounted("0:25", "btrfs", "/dev/../x");
    CHECK_FALSE(disks.encrypted().has_value());
}
