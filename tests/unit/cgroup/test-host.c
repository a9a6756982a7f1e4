/* cgroup/host.c and mountinfo.c: the mounts of captured hosts, and this host's facts against themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "cgroup/host.h"
#include "cgroup/mountinfo.h"
#include <cmocka.h>
#include <string.h>

static CgroupMounts parse(const char *text) {
        CgroupMounts mounts;

        assert_int_equal(cgroup_mounts_parse(text, &mounts), 0);
        return mounts;
}

static void a_pure_v2_host_has_one_mount(void **state) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts =
                parse("22 27 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw\n"
                      "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 "
                      "rw,nsdelegate,memory_recursiveprot\n");

        assert_string_equal(mounts.v2_mount, "/sys/fs/cgroup");
        assert_string_equal(mounts.v2_root, "/");
        assert_false(mounts.v1_controllers);
}

static void a_hybrid_host_has_its_controllers_in_v1(void **state) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts =
                parse("31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
                      "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
                      "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
                      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");

        assert_string_equal(mounts.v2_mount, "/sys/fs/cgroup/unified");
        assert_true(mounts.v1_controllers);
}

static void a_named_v1_hierarchy_holds_no_controller(void **state) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts =
                parse("40 31 0:37 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup "
                      "rw,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd\n"
                      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");

        assert_false(mounts.v1_controllers);
}

static void a_mount_can_show_a_part_of_the_hierarchy(void **state) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts = parse(
                "29 23 0:26 /docker/ab12 /sys/fs/cgroup ro,nosuid master:4 propagate_from:2 - cgroup2 cgroup rw\n");

        assert_string_equal(mounts.v2_root, "/docker/ab12");
}

static void blanks_in_a_mount_point_are_decoded(void **state) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts =
                parse("29 23 0:26 / /mnt/a\\040b\\134c\\0 rw - cgroup2 none rw\n");

        assert_string_equal(mounts.v2_mount, "/mnt/a b\\c\\0");
}

static void lines_that_are_none_are_passed_over(void **state) {
        static const char *const texts[] = {
                "",
                "\n\n",
                " - cgroup2",
                "29 23 0:26 / - cgroup2 x rw",
                "29 23 0:26 / /a rw",
                "-  - ",
                "1 2 3 4 5 - cgroup2x a b\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts = parse(texts[i]);

                assert_null(mounts.v2_mount);
        }
}

static void this_hosts_facts_agree_with_each_other(void **state) {
        _cleanup_(host_facts_deinit) HostFacts facts = {};

        assert_int_equal(host_facts_read(&facts), 0);
        assert_non_null(facts.kernel);
        assert_non_null(host_kind_to_string(facts.kind));
        assert_true((facts.kind == HOST_NO_CGROUP2) == (facts.mount == NULL));
        if (!facts.mount)
                return;
        assert_int_equal(facts.mount[0], '/');
        assert_non_null(facts.mount_root);
        assert_true(!facts.own_cgroup || facts.own_cgroup[0] == '/');
        assert_false(facts.kind == HOST_PURE_V2 && !facts.mount_is_namespaced && !facts.memory && !facts.pids);
}

static void a_kind_that_is_none_has_no_name(void **state) {
        assert_null(host_kind_to_string(HOST_KIND_INVALID));
        assert_null(host_kind_to_string(HOST_KIND_MAX));
        assert_string_equal(host_kind_to_string(HOST_HYBRID), "hybrid");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_pure_v2_host_has_one_mount),
                cmocka_unit_test(a_hybrid_host_has_its_controllers_in_v1),
                cmocka_unit_test(a_named_v1_hierarchy_holds_no_controller),
                cmocka_unit_test(a_mount_can_show_a_part_of_the_hierarchy),
                cmocka_unit_test(blanks_in_a_mount_point_are_decoded),
                cmocka_unit_test(lines_that_are_none_are_passed_over),
                cmocka_unit_test(this_hosts_facts_agree_with_each_other),
                cmocka_unit_test(a_kind_that_is_none_has_no_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
