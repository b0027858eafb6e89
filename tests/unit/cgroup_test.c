/* The CPU that cgroups leave to a process, from texts of the kernel's and from folders of our own making. */
#include "agent/process/cgroup.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/folder.h"
#include "tests/unit/suite.h"

static char root[FOLDER_MAX];

static void put(const char *name, const char *text) {
    folder_put(root, name, text, strlen(text));
}

START_TEST(quotas) {
    ck_assert_double_eq(cgroup_quota_v2("50000 100000\n"), 0.5);
    ck_assert_double_eq(cgroup_quota_v2("150000 100000\n"), 1.5);
    ck_assert_double_eq(cgroup_quota_v2("6400000 100000\n"), 64);
    static const char *const none_v2[] = {"max 100000\n", "",      "50000",     "0 100000",  "50000 0", "-1 100000",
                                          "nan 100000",   "inf 1", "50000 nan", "50000 inf", "x y"};
    for (size_t i = 0; i < sizeof none_v2 / sizeof *none_v2; i++)
        ck_assert_msg(cgroup_quota_v2(none_v2[i]) == 0, "%s", none_v2[i]);
    ck_assert_double_eq(cgroup_quota_v1("50000\n", "100000\n"), 0.5);
    ck_assert_double_eq(cgroup_quota_v1("37500\n", "25000\n"), 1.5);
    static const char *const none_v1[][2] = {{"-1\n", "100000\n"}, {"0", "100000"}, {"50000", "0"}, {"", ""},
                                             {"nan", "1"},         {"1", "-1"}};
    for (size_t i = 0; i < sizeof none_v1 / sizeof *none_v1; i++)
        ck_assert_msg(cgroup_quota_v1(none_v1[i][0], none_v1[i][1]) == 0, "%s", none_v1[i][0]);
}
END_TEST

#define MOUNT(root, point, rest) "31 23 0:29 " root " " point " rw,relatime shared:9 - " rest "\n"

START_TEST(mounts) {
    struct cgroup_mounts mounts;
    cgroup_parse_mounts(MOUNT("/", "/", "ext4 /dev/vda rw") MOUNT("/", "/sys/fs/cgroup", "tmpfs tmpfs rw,mode=755")
                            MOUNT("/", "/c/set", "cgroup cgroup rw,cpuset")
                                MOUNT("/docker/abc", "/c/cpu,cpuacct", "cgroup cgroup rw,cpu,cpuacct")
                                    MOUNT("/", "/c/unified", "cgroup2 cgroup2 rw")
                                        MOUNT("/", "/again", "cgroup2 cgroup2 rw"),
                        &mounts);
    ck_assert_str_eq(mounts.v1.point, "/c/cpu,cpuacct");
    ck_assert_str_eq(mounts.v1.root, "/docker/abc");
    ck_assert_str_eq(mounts.v2.point, "/c/unified");
    cgroup_parse_mounts(MOUNT("/", "/c/a", "cgroup cgroup rw,cpuacct,cpu"), &mounts);
    ck_assert_str_eq(mounts.v1.point, "/c/a");
    cgroup_parse_mounts("", &mounts);
    ck_assert(!mounts.v1.point[0] && !mounts.v2.point[0]);
    cgroup_parse_mounts("1 2 3\n\n - cgroup2\n31 23 0:29 / /x rw - cgroup", &mounts);
    ck_assert(!mounts.v1.point[0] && !mounts.v2.point[0]);
}
END_TEST

START_TEST(paths) {
    char path[CGROUP_PATH_MAX];
    static const char hybrid[] =
        "9:name=systemd:/a\n4:cpuset:/set\n2:cpu,cpuacct:/system.slice/x:y.service\n0::/unified/x\n";
    ck_assert(cgroup_parse_path(hybrid, false, path));
    ck_assert_str_eq(path, "/system.slice/x:y.service");
    ck_assert(cgroup_parse_path(hybrid, true, path));
    ck_assert_str_eq(path, "/unified/x");
    ck_assert(cgroup_parse_path("3:cpuacct,cpu:/b", false, path));
    ck_assert_str_eq(path, "/b");
    ck_assert(!cgroup_parse_path("4:cpuset:/set\n2:cpuacct:/x\n", false, path));
    ck_assert(!cgroup_parse_path("", true, path));

    struct cgroup_mount whole = {"/", "/c"}, part = {"/docker/abc", "/c"}, none = {"/", ""};
    ck_assert(cgroup_folder(&whole, "/", path));
    ck_assert_str_eq(path, "/c");
    ck_assert(cgroup_folder(&whole, "/a/b", path));
    ck_assert_str_eq(path, "/c/a/b");
    ck_assert(cgroup_folder(&part, "/docker/abc/d", path));
    ck_assert_str_eq(path, "/c/d");
    ck_assert(cgroup_folder(&part, "/docker/abc", path));
    ck_assert_str_eq(path, "/c");
    ck_assert(!cgroup_folder(&part, "/docker/abcd", path)); /* beside what is mounted */
    ck_assert(!cgroup_folder(&whole, "/../other", path));   /* outside of our namespace */
    ck_assert(!cgroup_folder(&none, "/", path));
}
END_TEST

/* The least of all ancestors, of v1 and of v2, and which cgroup that is. */
START_TEST(limits) {
    folder_make(root);
    put("v2/a/cpu.max", "150000 100000\n");
    put("v2/a/b/cpu.max", "max 100000\n");
    put("v2/a/b/c/cpu.max", "200000 100000\n");
    put("v1/cpu.cfs_quota_us", "-1\n");
    put("v1/cpu.cfs_period_us", "100000\n");
    put("v1/k/cpu.cfs_quota_us", "50000\n");
    put("v1/k/cpu.cfs_period_us", "100000\n");
    put("v1/k/l/cpu.cfs_quota_us", "-1\n");
    put("v1/k/l/cpu.cfs_period_us", "100000\n");
    struct cgroup_mounts mounts = {.v1 = {.root = "/"}, .v2 = {.root = "/"}};
    char path[FOLDER_PATH_MAX];
    snprintf(mounts.v1.point, sizeof mounts.v1.point, "%s/v1", root);
    snprintf(mounts.v2.point, sizeof mounts.v2.point, "%s/v2", root);
    struct cgroup_limit limit;
    cgroup_limit_of(&mounts, "0::/a/b/c\n", &limit);
    ck_assert_double_eq(limit.cpus, 1.5);
    folder_path(root, "v2/a", path);
    ck_assert_str_eq(limit.limiting, path);
    folder_path(root, "v2/a/b/c", path);
    ck_assert_str_eq(limit.own, path);
    cgroup_limit_of(&mounts, "2:cpu:/k/l\n0::/a/b/c\n", &limit);
    ck_assert_double_eq(limit.cpus, 0.5);
    folder_path(root, "v1/k", path);
    ck_assert_str_eq(limit.limiting, path);
    cgroup_limit_of(&mounts, "2:cpu:/\n0::/\n", &limit);
    ck_assert_double_eq(limit.cpus, 0);
    cgroup_limit_of(&mounts, "2:cpu:/gone\n0::/../elsewhere\n", &limit);
    ck_assert_double_eq(limit.cpus, 0);
    ck_assert_str_eq(limit.own, "");
    folder_remove(root);
}
END_TEST

START_TEST(waits) {
    struct cgroup_waits found;
    folder_make(root);
    put("a/cpu.stat", "usage_usec 5\nnr_periods 40\nnr_throttled 30\nthrottled_usec 9\n");
    put("a/cpu.pressure", "some avg10=0.72 avg60=1.07 avg300=0.88 total=22226505318\nfull avg10=0.00 total=7\n");
    put("a/cgroup.procs", "5\n17\n");
    put("empty/cgroup.procs", "");
    char path[FOLDER_PATH_MAX];
    folder_path(root, "a", path);
    ck_assert(cgroup_read_waits(path, &found));
    ck_assert_uint_eq(found.periods, 40);
    ck_assert_uint_eq(found.throttled, 30);
    ck_assert_uint_eq(found.some_us, 22226505318);
    ck_assert(cgroup_has_only(path, (const int[]){3, 5, 17}, 3));
    ck_assert(!cgroup_has_only(path, (const int[]){3, 5}, 2));
    ck_assert(!cgroup_has_only(path, NULL, 0));
    folder_path(root, "nowhere", path);
    ck_assert(!cgroup_read_waits(path, &found));
    ck_assert(!cgroup_read_waits("", &found));
    ck_assert(!cgroup_has_only(path, (const int[]){3, 5}, 2));
    ck_assert_uint_eq(cgroup_parse_pressure("full avg10=0 total=5\n"), 0);
    folder_remove(root);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("cgroup");
    tcase_add_test(tests, quotas);
    tcase_add_test(tests, mounts);
    tcase_add_test(tests, paths);
    tcase_add_test(tests, limits);
    tcase_add_test(tests, waits);
    return suite_run("cgroup", tests, NULL);
}
