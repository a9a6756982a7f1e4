/* doctor's findings for machines that are not this one. */
#include "cmd/scidexctl/checkup.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A host as it should be: pure v2, systemd, everything installed, nothing running. Text is static: nothing to free. */
static DoctorFacts facts_good(void) {
        return (DoctorFacts){
                .host = { .kind = HOST_PURE_V2,
                        .mount = (char *)"/sys/fs/cgroup",
                        .mount_writable = true,
                        .memory = true,
                        .pids = true,
                        .cpu = true,
                        .io = true,
                        .psi = true,
                        .clone_into_cgroup = true,
                        .memory_peak = true,
                        .cgroup_kill = true,
                        .systemd = true,
                        .own_cgroup = (char *)"/user.slice",
                        .kernel = (char *)"6.12.0" },
                .uid = 1000,
                .tree_controllers = (char *)"cpu memory pids\n",
                .bus = true,
                .runtime_directory = "/run/user/1000",
                .swap_accounting = KNOWN_NOT,
                .socket_directory = (char *)"/run/user/1000/scidex",
                .socket_directory_state = DIRECTORY_ABSENT,
                .state_directory = (char *)"/home/a/.local/state/scidex",
                .state_free_bytes = UINT64_C(10) << 30,
                .has_run = true,
                .has_supervisor = true,
                .has_recorder = true,
                .has_full_recorder = true,
        };
}

/* status of the finding with that name, "" when there is none. */
static const char *status_of(const json_t *findings, const char *name) {
        const json_t *finding;
        size_t i;

        json_array_foreach(findings, i, finding) {
                if (strcmp(json_string_value(json_object_get(finding, "name")), name) == 0)
                        return json_string_value(json_object_get(finding, "status"));
        }
        return "";
}

static const char *remedy_of(const json_t *findings, const char *name) {
        const json_t *finding;
        size_t i;

        json_array_foreach(findings, i, finding) {
                if (strcmp(json_string_value(json_object_get(finding, "name")), name) == 0)
                        return json_string_value(json_object_get(finding, "remedy"));
        }
        return NULL;
}

static void every_finding_that_is_not_ok_has_a_remedy(const json_t *findings) {
        const json_t *finding;
        size_t i;

        json_array_foreach(findings, i, finding) {
                bool fine = strcmp(json_string_value(json_object_get(finding, "status")), "ok") == 0;

                assert_non_null(json_string_value(json_object_get(finding, "why")));
                assert_int_equal(fine, json_is_null(json_object_get(finding, "remedy")));
        }
}

static void pure_v2_with_systemd_is_ok(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = checkup(&facts);

        assert_true(checkup_is_ok(findings));
        assert_string_equal(status_of(findings, "enforcement"), "ok");
        assert_string_equal(status_of(findings, "container"), "");
        every_finding_that_is_not_ok_has_a_remedy(findings);
}

static void hybrid_host_can_only_sample(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.host.kind = HOST_HYBRID;
        facts.host.memory = facts.host.pids = facts.host.cpu = facts.host.systemd = false;
        facts.uid = 0;
        findings = checkup(&facts);
        assert_false(checkup_is_ok(findings));
        assert_string_equal(status_of(findings, "memory controller"), "not ok");
        assert_string_equal(status_of(findings, "enforcement"), "not ok");
        assert_string_equal(status_of(findings, "tree"), "ok");
        assert_non_null(strstr(remedy_of(findings, "memory controller"), "unified_cgroup_hierarchy=1"));
        every_finding_that_is_not_ok_has_a_remedy(findings);
}

static void container_with_a_read_only_cgroup_file_system_names_the_option(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.host.systemd = facts.bus = false;
        facts.host.mount_writable = false;
        facts.mount_read_only = true;
        facts.host.mount_is_namespaced = true;
        facts.container = "docker container";
        facts.uid = 0;
        findings = checkup(&facts);
        assert_false(checkup_is_ok(findings));
        assert_string_equal(status_of(findings, "container"), "not ok");
        assert_string_equal(status_of(findings, "enforcement"), "not ok");
        assert_non_null(strstr(remedy_of(findings, "container"), "--cgroupns=private"));
        every_finding_that_is_not_ok_has_a_remedy(findings);
}

static void v2_without_memory_controller_is_not_ok_though_groups_can_be_made(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.tree_controllers = (char *)"cpu pids\n";
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "memory controller"), "not ok");
        assert_string_equal(status_of(findings, "pids and cpu controllers"), "ok");
        assert_string_equal(status_of(findings, "systemd"), "ok");
        assert_non_null(strstr(remedy_of(findings, "memory controller"), "Delegate="));
        assert_false(checkup_is_ok(findings));
}

static void cpuset_is_not_cpu(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.tree_controllers = (char *)"cpuset memory pids\n";
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "pids and cpu controllers"), "warning");
        assert_true(checkup_is_ok(findings));
}

static void no_session_names_linger(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.bus = false;
        facts.runtime_directory = NULL;
        facts.tree_controllers = NULL;
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "systemd"), "not ok");
        assert_non_null(strstr(remedy_of(findings, "systemd"), "loginctl enable-linger"));
        every_finding_that_is_not_ok_has_a_remedy(findings);
}

static void swap_that_is_not_counted_is_not_ok_only_where_there_is_swap(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *without = NULL, *with = NULL;

        facts.swap_accounting = KNOWN_NO;
        without = checkup(&facts);
        facts.swap_bytes = UINT64_C(1) << 30;
        with = checkup(&facts);
        assert_string_equal(status_of(without, "swap accounting"), "ok");
        assert_string_equal(status_of(with, "swap accounting"), "not ok");
}

static void old_kernel_is_a_warning_until_cgroup_kill_is_missing(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *old = NULL, *older = NULL;

        facts.host.memory_peak = false;
        old = checkup(&facts);
        facts.host.cgroup_kill = false;
        older = checkup(&facts);
        assert_string_equal(status_of(old, "kernel"), "warning");
        assert_true(checkup_is_ok(old));
        assert_string_equal(status_of(older, "kernel"), "not ok");
}

static void record_on_nfs_is_not_ok(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.state_on_network = true;
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "state directory"), "not ok");
        assert_non_null(strstr(remedy_of(findings, "state directory"), "SCIDEX_STORAGE_SQLITE"));
}

static void little_space_is_a_warning_and_none_is_not_ok(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *little = NULL, *none = NULL;

        facts.state_free_bytes = UINT64_C(100) << 20;
        little = checkup(&facts);
        facts.state_free_bytes = 0;
        none = checkup(&facts);
        assert_string_equal(status_of(little, "disk space"), "warning");
        assert_string_equal(status_of(none, "disk space"), "not ok");
}

static void supervisor_of_another_version_is_a_warning(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.status = json_pack("{s:b, s:{s:s, s:s, s:s}}", "ok", 1, "status", "version", "0.0.1", "mode", "system",
                "enforcement", "kernel");
        findings = checkup(&facts);
        json_decref(facts.status);
        assert_string_equal(status_of(findings, "supervisor"), "warning");
        assert_true(checkup_is_ok(findings));
}

static void word_of_the_supervisor_wins_over_expectation(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.status = json_pack("{s:b, s:{s:s, s:s, s:s, s:{s:s, s:s}}}", "ok", 1, "status", "version", SCIDEX_VERSION,
                "mode", "private", "enforcement", "sampled", "tree", "detail", "mkdir was refused", "hint", "do this");
        findings = checkup(&facts);
        json_decref(facts.status);
        assert_string_equal(status_of(findings, "enforcement"), "not ok");
        assert_string_equal(remedy_of(findings, "enforcement"), "do this");
}

static void supervisor_that_refuses_is_not_ok_and_none_is_ok(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *none = NULL, *denied = NULL;

        facts.status = json_pack("{s:b, s:{s:s, s:s}}", "ok", 0, "error", "code", "no-supervisor", "message", "none");
        none = checkup(&facts);
        json_decref(facts.status);
        facts.status = json_pack("{s:b, s:{s:s, s:s}}", "ok", 0, "error", "code", "denied", "message", "refused");
        denied = checkup(&facts);
        json_decref(facts.status);
        assert_string_equal(status_of(none, "supervisor"), "ok");
        assert_string_equal(status_of(denied, "supervisor"), "not ok");
}

static void corrupt_file_set_aside_is_a_warning(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.storage = json_pack("{s:b, s:{s:s, s:s, s:[s], s:s}}", "ok", 1, "storage", "state", "ok", "path", "/x",
                "set_aside", "/x.corrupt", "journal_mode", "wal");
        findings = checkup(&facts);
        json_decref(facts.storage);
        assert_string_equal(status_of(findings, "record"), "warning");
}

static void socket_directory_of_another_is_not_ok(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.socket_directory_state = DIRECTORY_FOREIGN;
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "socket directory"), "not ok");
        every_finding_that_is_not_ok_has_a_remedy(findings);
}

static void given_tree_that_is_not_writable_is_not_ok(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.tree_given = "/sys/fs/cgroup/mine";
        facts.tree_writable = false;
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "tree"), "not ok");
        assert_string_equal(status_of(findings, "enforcement"), "not ok");
}

/* A server as it should be, and a recorder that ships to it. */
static void facts_with_database(DoctorFacts *facts, const char *shipping, const char *server) {
        *facts = facts_good();
        facts->now_usec = UINT64_C(1795244400) * USEC_PER_SEC; /* 2026-11-21T07:00:00Z */
        facts->storage = shipping ? json_loads(shipping, 0, NULL) : NULL;
        facts->database = server ? json_loads(server, 0, NULL) : NULL;
        assert_true(!shipping || facts->storage);
        assert_true(!server || facts->database);
}

static void facts_drop(DoctorFacts *facts) {
        json_decref(facts->storage);
        json_decref(facts->database);
}

#define SHIPPING(state) \
        "{\"ok\":true,\"storage\":{\"state\":\"ok\",\"path\":\"/x\",\"runs\":1,\"events\":1,\"postgres\":" state "}}"
#define SERVER(more)                                                                                                   \
        "{\"ok\":true,\"database\":{\"state\":\"ok\",\"version\":1,\"latest\":1,\"encoding\":\"UTF8\",\"fsync\":true," \
        "\"full_page_writes\":true,\"analyses\":{\"state\":\"linked\"},\"hosts\":[],"                                  \
        "\"partitions\":{\"until_at\":\"2027-02-01T00:00:00Z\"}" more "}}"

static const char *why_of(const json_t *findings, const char *name) {
        const json_t *finding;
        size_t i;

        json_array_foreach(findings, i, finding) {
                if (strcmp(json_string_value(json_object_get(finding, "name")), name) == 0)
                        return json_string_value(json_object_get(finding, "why"));
        }
        return "";
}

static void without_a_database_nothing_is_said_of_one(void **state) {
        DoctorFacts facts;
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts_with_database(&facts, SHIPPING("null"), NULL);
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "database"), "");
        facts_drop(&facts);
}

static void a_database_that_the_supervisor_has_not_taken_up_is_a_warning(void **state) {
        DoctorFacts facts = facts_good();
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts.database_unused = true;
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "database"), "warning");
        every_finding_that_is_not_ok_has_a_remedy(findings);
}

static void a_database_that_takes_all_is_ok(void **state) {
        DoctorFacts facts;
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts_with_database(&facts,
                SHIPPING("{\"state\":\"ok\",\"server\":\"db:5432/x\",\"waiting\":0,\"dead_letters\":0,\"shipped\":7}"),
                SERVER(""));
        findings = checkup(&facts);
        assert_true(checkup_is_ok(findings));
        assert_string_equal(status_of(findings, "database"), "ok");
        assert_string_equal(status_of(findings, "database schema"), "ok");
        assert_non_null(strstr(why_of(findings, "database"), "7 rows"));
        for (size_t i = 0; i < 6; i++)
                assert_string_equal(status_of(findings,
                                            (const char *[]){ "database rows", "database backlog", "database analyses",
                                                    "database partitions", "database settings", "database hosts" }[i]),
                        "");
        every_finding_that_is_not_ok_has_a_remedy(findings);
        facts_drop(&facts);
}

static void a_recorder_that_hangs_is_not_ok_though_its_file_can_be_read(void **state) {
        DoctorFacts facts;
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts_with_database(&facts,
                "{\"ok\":true,\"storage\":{\"state\":\"ok\"},\"instead_of\":{\"message\":\"no answer within 15 s\"}}",
                NULL);
        facts.status = json_pack("{s:{s:s, s:s, s:s, s:i}}", "status", "version", SCIDEX_VERSION, "mode", "private",
                "enforcement", "kernel", "unrecorded", 7);
        findings = checkup(&facts);
        assert_string_equal(status_of(findings, "record"), "not ok");
        assert_non_null(strstr(why_of(findings, "record"), "no answer within 15 s"));
        assert_non_null(strstr(why_of(findings, "record"), "7 rows wait in memory"));
        every_finding_that_is_not_ok_has_a_remedy(findings);
        json_decref(facts.status);
        facts_drop(&facts);
}

static void each_state_of_shipping_is_said_with_what_waits(void **state) {
        static const char *const states[] = { "away", "denied", "schema", "read-only", "full", "failed" };

        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                _cleanup_(freep) char *shipping = text_printf(
                        SHIPPING("{\"state\":\"%s\",\"detail\":\"as it says\",\"hint\":\"do this\",\"waiting\":3,"
                                 "\"oldest_waiting_at\":\"2026-11-21T06:00:00Z\"}"),
                        states[i]);
                _cleanup_(json_decrefp) json_t *findings = NULL;
                DoctorFacts facts;

                facts_with_database(&facts, shipping, NULL);
                findings = checkup(&facts);
                assert_string_equal(status_of(findings, "database"), "not ok");
                assert_string_equal(remedy_of(findings, "database"), "do this");
                assert_non_null(strstr(why_of(findings, "database"), states[i]));
                assert_non_null(strstr(why_of(findings, "database"), "as it says"));
                assert_non_null(strstr(why_of(findings, "database"), "3 rows wait in the local history"));
                facts_drop(&facts);
        }
}

static void what_was_refused_and_what_waits_too_long_are_warnings(void **state) {
        DoctorFacts facts;
        _cleanup_(json_decrefp) json_t *findings = NULL;

        facts_with_database(&facts,
                SHIPPING("{\"state\":\"ok\",\"dead_letters\":1,\"given_up\":4,\"waiting\":2,"
                         "\"oldest_waiting_at\":\"2026-11-21T05:00:00Z\"}"),
                NULL);
        findings = checkup(&facts);
        assert_true(checkup_is_ok(findings));
        assert_string_equal(status_of(findings, "database rows"), "warning");
        assert_non_null(strstr(remedy_of(findings, "database rows"), "scidexctl db dead"));
        assert_string_equal(status_of(findings, "database gaps"), "warning");
        assert_string_equal(status_of(findings, "database backlog"), "warning");
        assert_non_null(strstr(why_of(findings, "database backlog"), "2h"));
        facts_drop(&facts);
}

static void what_the_server_itself_says_is_looked_at(void **state) {
        static const struct {
                const char *server, *name, *status, *word;
        } cases[] = {
                { "{\"ok\":true,\"database\":{\"state\":\"schema\",\"detail\":\"no tables\",\"hint\":\"scidexctl db "
                  "migrate\"}}",
                        "database schema", "not ok", "no tables" },
                { SERVER(",\"encoding\":\"LATIN1\""), "database encoding", "warning", "LATIN1" },
                { SERVER(",\"fsync\":false"), "database settings", "warning", "fsync is off" },
                { SERVER(",\"standby\":true"), "database settings", "warning", "standby" },
                { SERVER(",\"everyone_may_create\":true"), "database settings", "warning", "everybody" },
                { SERVER(",\"full_page_writes\":false"), "database settings", "warning", "full_page_writes is off" },
                { SERVER(",\"partitions\":{\"until_at\":\"2026-11-25T00:00:00Z\"}"), "database partitions", "warning",
                        "no partition" },
                { SERVER(",\"partitions\":{\"until_at\":null}"), "database partitions", "warning", "no partition" },
                { SERVER(",\"analyses\":{\"state\":\"type\",\"table\":\"public.analyses\",\"detail\":\"its id is "
                         "integer\"}"),
                        "database analyses", "warning", "its id is integer" },
                { SERVER(",\"hosts\":[{\"host\":\"a\",\"silent\":false},{\"host\":\"b\",\"silent\":true}]"),
                        "database hosts", "warning", "1 of 2 hosts are silent: b" },
                { "{\"ok\":false,\"error\":{\"code\":\"failed\",\"message\":\"no route\",\"hint\":\"look\"}}",
                        "database", "not ok", "no route" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *findings = NULL;
                DoctorFacts facts;

                facts_with_database(&facts, NULL, cases[i].server);
                findings = checkup(&facts);
                assert_string_equal(status_of(findings, cases[i].name), cases[i].status);
                if (!strstr(why_of(findings, cases[i].name), cases[i].word))
                        fail_msg("'%s' does not say '%s'", why_of(findings, cases[i].name), cases[i].word);
                every_finding_that_is_not_ok_has_a_remedy(findings);
                facts_drop(&facts);
        }
}

static void places_of_the_status_over_http_are_looked_at(void **state) {
        static const struct {
                const char *http;
                bool has_full_recorder;
                const char *status, *word;
        } cases[] = {
                { "[]", true, "", "" },
                { "[{\"listen\":\"127.0.0.1:8787\",\"ok\":true,\"detail\":null},"
                  "{\"listen\":\"/run/x\",\"ok\":true,\"detail\":null}]",
                        true, "ok", "at 127.0.0.1:8787, /run/x" },
                { "[{\"listen\":\"/run/x\",\"ok\":true,\"detail\":null},"
                  "{\"listen\":\"127.0.0.1:8787\",\"ok\":false,\"detail\":\"Address already in use\"}]",
                        true, "warning", "can't listen at 127.0.0.1:8787: Address already in use" },
                { "[{\"listen\":\"/run/x\",\"ok\":true,\"detail\":null}]", false, "warning", "not found" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *findings = NULL;
                DoctorFacts facts = facts_good();

                facts.has_full_recorder = cases[i].has_full_recorder;
                facts.status = json_pack("{s:{s:s, s:o}}", "status", "version", SCIDEX_VERSION, "http",
                        json_loads(cases[i].http, 0, NULL));
                findings = checkup(&facts);
                assert_string_equal(status_of(findings, "status over HTTP"), cases[i].status);
                if (*cases[i].word && !strstr(why_of(findings, "status over HTTP"), cases[i].word))
                        fail_msg("'%s' does not say '%s'", why_of(findings, "status over HTTP"), cases[i].word);
                every_finding_that_is_not_ok_has_a_remedy(findings);
                json_decref(facts.status);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pure_v2_with_systemd_is_ok),
                cmocka_unit_test(hybrid_host_can_only_sample),
                cmocka_unit_test(container_with_a_read_only_cgroup_file_system_names_the_option),
                cmocka_unit_test(v2_without_memory_controller_is_not_ok_though_groups_can_be_made),
                cmocka_unit_test(cpuset_is_not_cpu),
                cmocka_unit_test(no_session_names_linger),
                cmocka_unit_test(swap_that_is_not_counted_is_not_ok_only_where_there_is_swap),
                cmocka_unit_test(old_kernel_is_a_warning_until_cgroup_kill_is_missing),
                cmocka_unit_test(record_on_nfs_is_not_ok),
                cmocka_unit_test(little_space_is_a_warning_and_none_is_not_ok),
                cmocka_unit_test(supervisor_of_another_version_is_a_warning),
                cmocka_unit_test(word_of_the_supervisor_wins_over_expectation),
                cmocka_unit_test(supervisor_that_refuses_is_not_ok_and_none_is_ok),
                cmocka_unit_test(corrupt_file_set_aside_is_a_warning),
                cmocka_unit_test(socket_directory_of_another_is_not_ok),
                cmocka_unit_test(given_tree_that_is_not_writable_is_not_ok),
                cmocka_unit_test(places_of_the_status_over_http_are_looked_at),
                cmocka_unit_test(without_a_database_nothing_is_said_of_one),
                cmocka_unit_test(a_database_that_the_supervisor_has_not_taken_up_is_a_warning),
                cmocka_unit_test(a_database_that_takes_all_is_ok),
                cmocka_unit_test(a_recorder_that_hangs_is_not_ok_though_its_file_can_be_read),
                cmocka_unit_test(each_state_of_shipping_is_said_with_what_waits),
                cmocka_unit_test(what_was_refused_and_what_waits_too_long_are_warnings),
                cmocka_unit_test(what_the_server_itself_says_is_looked_at),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
