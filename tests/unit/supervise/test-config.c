/* The configuration: what is read from where, what wins, and in which words a mistake is told. */
#include "supervise/config-internal.h"

#include "base/clock.h"
#include "base/file.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)
#define MIN (60 * USEC_PER_SEC)

/* A directory with a configuration in it, as $XDG_CONFIG_HOME. */
typedef struct Place {
        char *directory, *file; /* owned */
        Config *config;         /* owned; of the last load() */
        ConfigFindings findings;
} Place;

static char *text_at(const char *directory, const char *name) {
        char *path = text_printf("%s/%s", directory, name);

        assert_non_null(path);
        return path;
}

static void write_file(const char *path, const char *text) {
        assert_int_equal(file_replace_at(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

static void forget(Place *p) {
        if (p->config)
                config_free(p->config);
        p->config = NULL;
        config_findings_deinit(&p->findings);
}

static void load_as(Place *p, const char *path, bool system) {
        forget(p);
        assert_int_equal(config_load(path, system, &p->config, &p->findings), 0);
}

/* A user's, from the usual place. */
static void load(Place *p, const char *text) {
        write_file(p->file, text);
        load_as(p, NULL, false);
}

static void drop_in(const Place *p, const char *name, const char *text) {
        _cleanup_(freep) char *directory = text_printf("%s.d", p->file), *path = text_at(directory, name);

        assert_int_equal(directory_make(directory, 0755), 0);
        write_file(path, text);
}

static void assert_well(const Place *p) {
        if (p->findings.n > 0) {
                _cleanup_(freep) char *text = config_finding_text(&p->findings.list[0]);

                fail_msg("found: %s", text);
        }
        assert_null(p->config->closed);
}

/* Exactly one finding, of these words (the path of the file is "FILE" in them). */
static void assert_found(const Place *p, bool is_error, const char *expected) {
        _cleanup_(freep) char *text = NULL;
        size_t length = strlen(p->file);

        assert_int_equal(p->findings.n, 1);
        assert_int_equal(p->findings.list[0].is_error, is_error);
        assert_int_equal(p->findings.n_errors, is_error);
        text = config_finding_text(&p->findings.list[0]);
        if (strncmp(text, p->file, length) == 0 && strncmp(expected, "FILE", 4) == 0) {
                assert_string_equal(text + length, expected + 4);
                return;
        }
        assert_string_equal(text, expected);
}

static int setup(void **state) {
        Place *p = calloc(1, sizeof(*p));
        char name[] = "/tmp/scidex-config-XXXXXX";

        assert_non_null(p);
        assert_non_null(mkdtemp(name));
        p->directory = strdup(name);
        assert_non_null(p->directory);
        p->file = text_at(name, "scidex/supervisor.conf");
        {
                _cleanup_(freep) char *directory = text_at(name, "scidex");

                assert_int_equal(directory_make(directory, 0755), 0);
        }
        assert_int_equal(setenv("XDG_CONFIG_HOME", name, 1), 0);
        *state = p;
        return 0;
}

static int teardown(void **state) {
        Place *p = *state;
        char *argv[] = { (char *)"rm", (char *)"-r", p->directory, NULL };
        pid_t pid = fork();

        if (pid == 0) {
                (void)execvp(argv[0], argv);
                _exit(127);
        }
        forget(p);
        free(p->directory);
        free(p->file);
        free(p);
        return 0;
}

static void without_a_file_the_built_in_values_hold(void **state) {
        Place *p = *state;

        load_as(p, NULL, false);
        assert_well(p);
        assert_int_equal(p->config->defaults.memory_bytes, 2 * GIB);
        assert_int_equal(p->config->defaults.swap_bytes, 0);
        assert_int_equal(p->config->defaults.timeout_usec, 30 * MIN);
        assert_int_equal(p->config->defaults.grace_usec, 10 * USEC_PER_SEC);
        assert_int_equal(p->config->defaults.pids, 4096);
        assert_int_equal(p->config->defaults.thrash_usec, MIN);
        assert_int_equal(p->config->caps.memory_max_bytes, CONFIG_UNLIMITED);
        assert_int_equal(p->config->caps.runs_max, CONFIG_UNLIMITED);
        assert_string_equal(p->config->group_name, "scidex");
        assert_string_equal(p->config->admin_group_name, "scidex-admin");
        assert_int_equal(p->config->group, CONFIG_NO_GROUP);
        assert_int_equal(p->config->history_usec, 30 * 24 * 60 * MIN);
        assert_int_equal(p->config->history_bytes, GIB);
        assert_int_equal(p->config->record_cmdline, RECORD_CMDLINE_FULL);
        assert_true(p->config->http_analysis_ids);
        assert_null(p->config->http_listen);
        assert_null(p->config->postgres);
        assert_null(p->config->sqlite);
        assert_int_equal(p->config->n_files, 0);
}

static void every_key_is_read(void **state) {
        Place *p = *state;

        load(p,
                "[limits]\nmemory = 4G\nswap = 1G\ntimeout = 2h\ngrace = 30s\npids = 100\nthrash = 2min\n"
                "memory_max = 16G\nmemory_total_max = 64G\ntimeout_max = 1d\nruns_max = 20\n"
                "[users]\ngroup = science\nadmin_group = wheel\n"
                "[storage]\npostgres = host=db dbname=scidex\nsqlite = /disk/scidex/spool.sqlite\nhistory = 60days\n"
                "history_size = 2G\nrecord_cmdline = argv0\n[http]\nlisten = 127.0.0.1:9000 /run/x\nanalysis_ids = no\n"
                "hosts = status.example.org other\n");
        assert_well(p);
        assert_int_equal(p->config->defaults.memory_bytes, 4 * GIB);
        assert_int_equal(p->config->defaults.swap_bytes, GIB);
        assert_int_equal(p->config->defaults.timeout_usec, 120 * MIN);
        assert_int_equal(p->config->defaults.grace_usec, 30 * USEC_PER_SEC);
        assert_int_equal(p->config->defaults.pids, 100);
        assert_int_equal(p->config->defaults.thrash_usec, 2 * MIN);
        assert_int_equal(p->config->caps.memory_max_bytes, 16 * GIB);
        assert_int_equal(p->config->caps.memory_total_max_bytes, 64 * GIB);
        assert_int_equal(p->config->caps.timeout_max_usec, 24 * 60 * MIN);
        assert_int_equal(p->config->caps.runs_max, 20);
        assert_string_equal(p->config->group_name, "science");
        assert_string_equal(p->config->admin_group_name, "wheel");
        assert_string_equal(p->config->postgres, "host=db dbname=scidex");
        assert_string_equal(p->config->sqlite, "/disk/scidex");
        assert_int_equal(p->config->history_usec, 60 * 24 * 60 * MIN);
        assert_int_equal(p->config->history_bytes, 2 * GIB);
        assert_int_equal(p->config->record_cmdline, RECORD_CMDLINE_ARGV0);
        assert_string_equal(p->config->http_listen, "127.0.0.1:9000 /run/x");
        assert_string_equal(p->config->http_hosts, "status.example.org other");
        assert_false(p->config->http_analysis_ids);
        assert_int_equal(p->config->n_files, 1);
        assert_string_equal(p->config->files[0], p->file);
}

static void the_text_may_be_written_in_many_ways(void **state) {
        Place *p = *state;

        load(p,
                "\xef\xbb\xbf# a comment\r\n; another\r\n\r\n[limits] # and one here\r\n"
                "timeout=1h\r\n   memory   =   3G   ; of a run\r\n\tpids: 7\r\n[ storage ]");
        assert_well(p);
        assert_int_equal(p->config->defaults.timeout_usec, 60 * MIN);
        assert_int_equal(p->config->defaults.memory_bytes, 3 * GIB);
        assert_int_equal(p->config->defaults.pids, 7);
}

static void a_long_line_is_read_whole(void **state) {
        Place *p = *state;
        char value[1200], text[1300];

        memset(value, 'x', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        (void)snprintf(text, sizeof(text), "[storage]\npostgres = %s\n[limits]\npids = 9\n", value);
        load(p, text);
        if (p->findings.n > 0) /* an inih whose lines are of a fixed length says so, and reads on */
                assert_non_null(strstr(p->findings.list[0].reason, "longer than"));
        else
                assert_string_equal(p->config->postgres, value);
        assert_int_equal(p->config->defaults.pids, 9);
}

static void drop_ins_win_in_the_order_of_their_names(void **state) {
        Place *p = *state;

        drop_in(p, "20-b.conf", "[limits]\nmemory = 5G\npids = 50\n");
        drop_in(p, "10-a.conf", "[limits]\nmemory = 4G\npids = 40\ntimeout = 4h\n");
        drop_in(p, "30-c.conf.bak", "[limits]\nmemory = 6G\n");
        drop_in(p, ".40-d.conf", "[limits]\nmemory = 7G\n");
        drop_in(p, "README", "not read");
        load(p, "[limits]\nmemory = 3G\ngrace = 3s\n");
        assert_well(p);
        assert_int_equal(p->config->defaults.memory_bytes, 5 * GIB);
        assert_int_equal(p->config->defaults.pids, 50);
        assert_int_equal(p->config->defaults.timeout_usec, 240 * MIN);
        assert_int_equal(p->config->defaults.grace_usec, 3 * USEC_PER_SEC);
        assert_int_equal(p->config->n_files, 3);
        assert_non_null(strstr(p->config->files[1], "10-a.conf"));
}

static void drop_ins_are_read_without_a_file_too(void **state) {
        Place *p = *state;

        drop_in(p, "a.conf", "[limits]\nmemory = 4G\n");
        load_as(p, NULL, false);
        assert_well(p);
        assert_int_equal(p->config->defaults.memory_bytes, 4 * GIB);
}

static void an_empty_value_takes_back_what_was_set(void **state) {
        Place *p = *state;

        drop_in(p, "a.conf",
                "[limits]\nmemory =\nmemory_max =\n[users]\ngroup =\n[storage]\nsqlite =\nhistory =\nrecord_cmdline "
                "=\n[http]\nlisten =\nanalysis_ids =\n[user 7]\nruns_max =\n");
        load(p,
                "[limits]\nmemory = 3G\nmemory_max = 1G\nruns_max = 5\n[users]\ngroup = x\n[storage]\nsqlite = "
                "/a/spool.sqlite\n"
                "history = 1d\nrecord_cmdline = no\n[http]\nlisten = 1.2.3.4:5\nanalysis_ids = no\n[user 7]\nruns_max "
                "= 1\n");
        assert_well(p);
        assert_int_equal(p->config->defaults.memory_bytes, 2 * GIB);
        assert_int_equal(p->config->caps.memory_max_bytes, CONFIG_UNLIMITED);
        assert_null(p->config->caps.set_in[CAP_MEMORY]);
        assert_string_equal(p->config->group_name, "scidex");
        assert_null(p->config->sqlite);
        assert_int_equal(p->config->history_usec, 30 * 24 * 60 * MIN);
        assert_int_equal(p->config->record_cmdline, RECORD_CMDLINE_FULL);
        assert_null(p->config->http_listen);
        assert_true(p->config->http_analysis_ids);
        assert_int_equal(p->config->users[0].caps.runs_max, 5); /* that of everybody again */
}

static void the_environment_wins(void **state) {
        Place *p = *state;

        (void)setenv("SCIDEX_LIMITS_MEMORY", "7G", 1);
        (void)setenv("SCIDEX_LIMITS_MEMORY_MAX", "9G", 1);
        (void)setenv("SCIDEX_STORAGE_SQLITE", "/env/spool.sqlite", 1);
        (void)setenv("SCIDEX_HTTP_LISTEN", "", 1); /* as if it were not there */
        drop_in(p, "a.conf", "[limits]\nmemory = 4G\npids = 3\n[http]\nlisten = 1.2.3.4:5\n");
        load(p, "[limits]\nmemory_max = 1G\n[storage]\nsqlite = /file/spool.sqlite\n");
        (void)unsetenv("SCIDEX_LIMITS_MEMORY");
        (void)unsetenv("SCIDEX_LIMITS_MEMORY_MAX");
        (void)unsetenv("SCIDEX_STORAGE_SQLITE");
        (void)unsetenv("SCIDEX_HTTP_LISTEN");
        assert_well(p);
        assert_int_equal(p->config->defaults.memory_bytes, 7 * GIB);
        assert_int_equal(p->config->defaults.pids, 3);
        assert_int_equal(p->config->caps.memory_max_bytes, 9 * GIB);
        assert_string_equal(p->config->caps.set_in[CAP_MEMORY], "SCIDEX_LIMITS_MEMORY_MAX");
        assert_string_equal(p->config->sqlite, "/env");
        assert_string_equal(p->config->http_listen, "1.2.3.4:5");
}

static void a_wrong_variable_is_named(void **state) {
        Place *p = *state;

        (void)setenv("SCIDEX_LIMITS_RUNS_MAX", "many", 1);
        load_as(p, NULL, false);
        (void)unsetenv("SCIDEX_LIMITS_RUNS_MAX");
        assert_found(p, true,
                "SCIDEX_LIMITS_RUNS_MAX: [limits] runs_max = \"many\": not a whole number; write a number of at least "
                "0, or infinity for none");
        assert_non_null(p->config->closed);
}

/* Each alone in a file; line 2 is the wrong one. */
static const struct {
        const char *text, *found;
        bool is_error, closes;
} mistakes[] = {
        { "[limits]\nmemory = 2GB\n",
                "FILE:2: [limits] memory = \"2GB\": not a size; write 2G (1024-based): some read GB as 1000-based, "
                "others "
                "as 1024-based",
                true, true },
        { "[limits]\nmemory = 1K\n",
                "FILE:2: [limits] memory = \"1K\": is below one page (4096 bytes); write e.g. memory = 2G, or infinity "
                "for "
                "none",
                true, true },
        { "[limits]\nmemory = 99999999T\n",
                "FILE:2: [limits] memory = \"99999999T\": too large; that is 16 EiB or more: write infinity for no "
                "limit",
                true, true },
        { "[limits]\nswap = much\n",
                "FILE:2: [limits] swap = \"much\": not a size; write a size such as 512M, 2G or 1.5GiB "
                "(1024-based), "
                "or infinity",
                true, true },
        { "[limits]\ntimeout = 30\n",
                "FILE:2: [limits] timeout = \"30\": not a time; write 30min or 30s: Slurm means minutes, systemd "
                "seconds",
                true, true },
        { "[limits]\ntimeout = 0\n",
                "FILE:2: [limits] timeout = \"0\": would end every run before it starts; write e.g. timeout = 30min, "
                "or "
                "infinity for none",
                true, true },
        { "[limits]\ngrace = 25h\n", "FILE:2: [limits] grace = \"25h\": is above 24h; write e.g. grace = 10s", true,
                true },
        { "[limits]\ngrace = infinity\n", "FILE:2: [limits] grace = \"infinity\": is above 24h; write e.g. grace = 10s",
                true, true },
        { "[limits]\npids = 0\n",
                "FILE:2: [limits] pids = \"0\": allows no command; write e.g. pids = 4096, or infinity for none", true,
                true },
        { "[limits]\npids = 1.5\n",
                "FILE:2: [limits] pids = \"1.5\": not a whole number; write a number of at least 0, or infinity for "
                "none",
                true, true },
        { "[limits]\nthrash = 1s\n",
                "FILE:2: [limits] thrash = \"1s\": is below 2s, the shortest window that the kernel measures; write "
                "e.g. "
                "thrash = 60s, or infinity to switch it off",
                true, true },
        { "[limits]\nmemory_max = 0\n",
                "FILE:2: [limits] memory_max = \"0\": is below one page (4096 bytes); write e.g. memory_max = 16G; "
                "runs_max = 0 allows no run at all",
                true, true },
        { "[limits]\nmemory_total_max = 3K\n",
                "FILE:2: [limits] memory_total_max = \"3K\": is below one page (4096 bytes); write e.g. "
                "memory_total_max "
                "= 64G; runs_max = 0 allows no run at all",
                true, true },
        { "[limits]\ntimeout_max = 0s\n",
                "FILE:2: [limits] timeout_max = \"0s\": would end every run before it starts; write e.g. timeout_max = "
                "24h; runs_max = 0 allows no run at all",
                true, true },
        { "[limits]\nruns_max = 99999999999999999999\n",
                "FILE:2: [limits] runs_max = \"99999999999999999999\": too large; write a number of at least 0, or "
                "infinity for none",
                true, true },
        { "[limits]\nruns_max = 4 # of them\n",
                "FILE:2: [limits] runs_max = \"4 # of them\": not a whole number; put the comment on a line of its own",
                true, true },
        { "[limits]\nmemroy_max = 2G\n",
                "FILE:2: [limits] memroy_max = \"2G\": unknown key, ignored; [limits] has memory, swap, timeout, "
                "grace, pids, "
                "thrash, memory_max, "
                "memory_total_max, timeout_max, runs_max",
                false, false },
        { "[limit]\nmemory_max = 2G\n",
                "FILE:2: [limit] memory_max = \"2G\": unknown section, ignored; there are [limits], [users], [user "
                "NAME], "
                "[storage] and [http]",
                false, false },
        { "[users]\ngroup = a b\n",
                "FILE:2: [users] group = \"a b\": not the name of a group; write one group, by its name or its number",
                true, true },
        { "[user alice]\nmemory = 2G\n",
                "FILE:2: [user alice] memory = \"2G\": a default is the same for all users; a user has runs_max, "
                "memory_max, memory_total_max and timeout_max",
                true, true },
        { "[user alice]\nruns = 2\n",
                "FILE:2: [user alice] runs = \"2\": unknown key, ignored; a user has runs_max, memory_max, "
                "memory_total_max and "
                "timeout_max",
                false, false },
        { "[user alice]\nruns_max = two\n",
                "FILE:2: [user alice] runs_max = \"two\": not a whole number; write a number of at least 0, or "
                "infinity "
                "for none",
                true, true },
        { "[user]\nruns_max = 2\n",
                "FILE:2: [user] runs_max = \"2\": the section names no user; write [user NAME], one user, by name or "
                "number",
                true, true },
        { "[user alice, bob]\nruns_max = 2\n",
                "FILE:2: [user alice, bob] runs_max = \"2\": the section names no user; write [user NAME], one user, "
                "by "
                "name or number",
                true, true },
        { "[storage]\nsqlite = spool.sqlite\n",
                "FILE:2: [storage] sqlite = \"spool.sqlite\": not the absolute path of a file; write e.g. "
                "/var/lib/scidex/spool.sqlite",
                true, false },
        { "[storage]\nsqlite = /var/lib/scidex/\n",
                "FILE:2: [storage] sqlite = \"/var/lib/scidex/\": not the absolute path of a file; write e.g. "
                "/var/lib/scidex/spool.sqlite",
                true, false },
        { "[storage]\nsqlite = /disk/record.db\n",
                "FILE:2: [storage] sqlite = \"/disk/record.db\": the record is called spool.sqlite, whatever is "
                "written "
                "here; it will lie in /disk; end the path with /spool.sqlite",
                false, false },
        { "[storage]\nhistory = 30\n",
                "FILE:2: [storage] history = \"30\": not a time; write e.g. history = 30days and history_size = 1G, or "
                "infinity for no end",
                true, false },
        { "[storage]\nhistory_size = 1K\n",
                "FILE:2: [storage] history_size = \"1K\": is below 1M; write e.g. history_size = 1G, or infinity for "
                "no "
                "end",
                true, false },
        { "[storage]\nrecord_cmdline = yes\n",
                "FILE:2: [storage] record_cmdline = \"yes\": unknown; write full, argv0 (the command without its "
                "arguments) or no",
                true, false },
        { "[http]\nlisten = localhost:80\n",
                "FILE:2: [http] listen = \"localhost:80\": neither an ADDRESS:PORT of numbers nor a /PATH; write e.g. "
                "listen = 127.0.0.1:8787 [::1]:8787 /run/scidex/http, or no",
                true, false },
        { "[http]\nlisten = 127.0.0.1:80 no\n",
                "FILE:2: [http] listen = \"127.0.0.1:80 no\": \"no\" is neither an ADDRESS:PORT of numbers nor a "
                "/PATH; "
                "write e.g. listen = 127.0.0.1:8787 [::1]:8787 /run/scidex/http, or no",
                true, false },
        { "[http]\nlisten = /1 /2 /3 /4 /5 /6 /7 /8 /9 /10 /11 /12 /13 /14 /15 /16 /17\n",
                "FILE:2: [http] listen = \"/1 /2 /3 /4 /5 /6 /7 /8 /9 /10 /11 /12 /13 /14 /15 /16 /17\": names more "
                "than 16; "
                "leave some out",
                true, false },
        { "[http]\nhosts = a.example b/c\n",
                "FILE:2: [http] hosts = \"a.example b/c\": \"b/c\" is not the name of a host; write names without "
                "port, e.g. "
                "hosts = status.example.org",
                true, false },
        { "[http]\nanalysis_ids = maybe\n",
                "FILE:2: [http] analysis_ids = \"maybe\": neither yes nor no; write yes or no", true, false },
        { "\nmemory = 2G\n",
                "FILE:2: \"memory\" stands before any section; put it below [limits], [users], [storage] or [http]",
                true, true },
        { "[limits]\nmemory 2G\n",
                "FILE:2: neither a section nor KEY = VALUE; write KEY = VALUE, or # before a comment", true, true },
        { "[limits]\n= 2G\n", "FILE:2: neither a section nor KEY = VALUE; write KEY = VALUE, or # before a comment",
                true, true },
        { "[limits]\n[users\n",
                "FILE:2: the section's name is not closed; write [limits], [users], [user NAME], [storage] or [http]",
                true, true },
        { "[limits]\n[users] group = x\n",
                "FILE:2: there is something behind the section's name; put it on a line of its own", true, true },
        { "[limits]\n[user aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n",
                "FILE:2: the section's name is longer than 49 bytes; shorten it; a user may be named by number", true,
                true },
        { "[limits]\nmemory = \x1b[31m\xff\n",
                "FILE:2: [limits] memory = \"\\x1b[31m\\xff\": not a size; write a size such as 512M, 2G or "
                "1.5GiB "
                "(1024-based), or infinity",
                true, true },
};

static void every_mistake_has_its_line_its_reason_and_its_remedy(void **state) {
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(mistakes); i++) {
                load(p, mistakes[i].text);
                if (p->findings.n != 1)
                        fail_msg("%s: %zu findings", mistakes[i].text, p->findings.n);
                assert_found(p, mistakes[i].is_error, mistakes[i].found);
                if ((p->config->closed != NULL) != mistakes[i].closes)
                        fail_msg("%s: closed is \"%s\"", mistakes[i].text, p->config->closed);
        }
}

static void all_mistakes_are_told_with_their_lines(void **state) {
        static const unsigned lines[] = { 2, 4, 6, 7, 9 };
        Place *p = *state;

        load(p, "[limits]\nmemory = x\ntimeout = 1h\nfoo\n\npids = y\n[users\ngroup = z\n[http]x\n");
        assert_int_equal(p->findings.n, ELEMENTSOF(lines));
        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                assert_int_equal(p->findings.list[i].line, lines[i]);
        assert_int_equal(p->config->defaults.timeout_usec, 60 * MIN); /* what is right is taken all the same */
        assert_int_equal(p->config->defaults.memory_bytes, 2 * GIB);
        assert_non_null(strstr(p->config->closed, ":2: [limits] memory"));
}

static void what_follows_a_broken_header_is_not_of_the_section_before(void **state) {
        Place *p = *state;

        load(p, "[limits]\nmemory_max = 1G\n[user bob\nmemory_max = 64G\n[limits]\npids = 5\n");
        assert_int_equal(p->findings.n, 1);
        assert_int_equal(p->config->caps.memory_max_bytes, GIB);
        assert_int_equal(p->config->defaults.pids, 5);
}

static void an_indented_line_is_no_part_of_the_one_before(void **state) {
        Place *p = *state;

        load(p, "[limits]\ntimeout = 1h\n  memory = 3G\n\tpids = 8\n");
        assert_well(p);
        assert_int_equal(p->config->defaults.timeout_usec, 60 * MIN);
        assert_int_equal(p->config->defaults.memory_bytes, 3 * GIB);
        assert_int_equal(p->config->defaults.pids, 8);
}

static void a_password_is_in_no_finding(void **state) {
        Place *p = *state;
        char text[6000] = "[storage]\npostgres = password=geheim";

        memset(text + strlen(text), 'x', 5000);
        load(p, text);
        assert_true(p->findings.n >= 1);
        for (size_t i = 0; i < p->findings.n; i++) {
                _cleanup_(freep) char *said = config_finding_text(&p->findings.list[i]);

                assert_null(strstr(said, "geheim"));
        }
}

static void a_file_that_is_named_must_be_there(void **state) {
        Place *p = *state;
        _cleanup_(freep) char *path = text_at(p->directory, "none.conf"), *expected = NULL;

        load_as(p, path, false);
        expected = text_printf("%s: can't be read: No such file or directory; name a file that is there", path);
        assert_found(p, true, expected);
        assert_non_null(p->config->closed);
}

static void a_directory_is_no_file(void **state) {
        Place *p = *state;

        assert_int_equal(directory_make(p->file, 0755), 0);
        load_as(p, NULL, false);
        assert_found(p, true, "FILE: not a file; put a file there, or remove it");
}

static void a_nul_byte_is_no_text(void **state) {
        Place *p = *state;

        assert_int_equal(file_replace_at(AT_FDCWD, p->file, "[limits]\n\0memory = 4G\n", 22, 0644), 0);
        load_as(p, NULL, false);
        assert_found(p, true, "FILE: holds a NUL byte; write plain text");
        assert_int_equal(p->config->defaults.memory_bytes, 2 * GIB);
}

static void without_xdg_the_home_is_looked_at(void **state) {
        Place *p = *state;
        const char *known = getenv("HOME");
        _cleanup_(freep) char *home = known ? strdup(known) : NULL;
        _cleanup_(freep) char *directory = text_at(p->directory, ".config/scidex");
        _cleanup_(freep) char *file = text_at(directory, "supervisor.conf");

        assert_int_equal(directory_make(directory, 0755), 0);
        write_file(file, "[limits]\npids = 77\n");
        (void)unsetenv("XDG_CONFIG_HOME");
        (void)setenv("HOME", p->directory, 1);
        load_as(p, NULL, false);
        (void)unsetenv("HOME");
        assert_int_equal(p->config->defaults.pids, 77);
        load_as(p, NULL, false); /* no home at all */
        assert_well(p);
        if (home)
                (void)setenv("HOME", home, 1);
}

static void history_may_have_both_ends(void **state) {
        static const struct {
                const char *text;
                uint64_t usec, bytes;
        } cases[] = {
                { "history = 7days", 7 * 24 * 60 * MIN, GIB },
                { "history = 512M", 30 * 24 * 60 * MIN, GIB / 2 },
                { "history = 7days, 512M", 7 * 24 * 60 * MIN, GIB / 2 },
                { "history = 512M\nhistory_size = 4G", 30 * 24 * 60 * MIN, 4 * GIB },
                { "history = infinity", UINT64_MAX, GIB },
                { "history_size = infinity", 30 * 24 * 60 * MIN, UINT64_MAX },
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *text = text_printf("[storage]\n%s\n", cases[i].text);

                load(p, text);
                assert_well(p);
                assert_int_equal(p->config->history_usec, cases[i].usec);
                assert_int_equal(p->config->history_bytes, cases[i].bytes);
        }
}

static void the_recorder_is_told_in_its_words(void **state) {
        static const struct {
                uint64_t usec, bytes;
                const char *text;
        } cases[] = {
                { 60 * MIN, GIB, "3600000000us,1048576K" },
                { UINT64_MAX, 2 * GIB, "infinity,2097152K" },
                { 1, UINT64_MAX, "infinity,1us" },
                { UINT64_MAX, UINT64_MAX, "infinity" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Config config = { .history_usec = cases[i].usec, .history_bytes = cases[i].bytes };
                _cleanup_(freep) char *text = config_history_text(&config);

                assert_string_equal(text, cases[i].text);
        }
}

/* One byte more than sockaddr_un(7) takes. */
static const char long_path[] =
        "/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456";

static void an_address_is_of_numbers(void **state) {
        static const char *const good[] = { "0.0.0.0:1", "127.0.0.1:65535", "[::1]:8787", "[::]:80", "/run/x",
                "127.0.0.1:1 [::1]:2\t/a/b" };
        static const char *const bad[] = { "127.0.0.1", ":80", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x",
                "::1:80", "[::1:80", "[::1]80", "*:80", "]:80", "relative/path", "/", "/run/",
                "127.0.0.1:1,127.0.0.1:2", long_path };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(good) + ELEMENTSOF(bad); i++) {
                bool is_good = i < ELEMENTSOF(good);
                const char *value = is_good ? good[i] : bad[i - ELEMENTSOF(good)];
                _cleanup_(freep) char *text = text_printf("[http]\nlisten = %s\n", value);

                load(p, text);
                if ((p->findings.n == 0) != is_good)
                        fail_msg("%s: %zu findings", value, p->findings.n);
                assert_int_equal(p->config->http_listen != NULL, is_good);
        }
        load(p, "[http]\nlisten = no\n");
        assert_well(p);
        assert_null(p->config->http_listen);
}

static void a_user_has_own_caps_and_for_the_rest_those_of_everybody(void **state) {
        Place *p = *state;
        UserCaps caps;

        if (geteuid() != 0)
                skip();
        drop_in(p, "a.conf", "[user 0]\nmemory_max = 5G\n[users]\ngroup = 4711\nadmin_group = root\n");
        write_file(p->file,
                "[limits]\nruns_max = 4\nmemory_max = 2G\n[user root]\nruns_max = 9\nmemory_max = 3G\n"
                "[user  daemon]\ntimeout_max = infinity\nruns_max = infinity\n[limits]\ntimeout_max = 1h\n");
        load_as(p, p->file, true);
        assert_well(p);
        assert_int_equal(p->config->group, 4711);
        assert_int_equal(p->config->admin_group, 0);
        caps = config_caps(p->config, 0); /* by name and by number: the same user, each key as last written for one */
        assert_int_equal(caps.runs_max, 9);
        assert_int_equal(caps.memory_max_bytes, 5 * GIB);
        assert_int_equal(caps.timeout_max_usec, 60 * MIN);
        assert_non_null(strstr(caps.set_in[CAP_RUNS], "supervisor.conf:5"));
        assert_non_null(strstr(caps.set_in[CAP_MEMORY], "a.conf:2"));
        assert_non_null(strstr(caps.set_in[CAP_TIMEOUT], "supervisor.conf:11"));
        assert_null(caps.set_in[CAP_MEMORY_TOTAL]);
        caps = config_caps(p->config, 1);
        assert_int_equal(caps.runs_max, CONFIG_UNLIMITED);
        assert_int_equal(caps.timeout_max_usec, CONFIG_UNLIMITED);
        assert_int_equal(caps.memory_max_bytes, 2 * GIB);
        caps = config_caps(p->config, 4711);
        assert_int_equal(caps.runs_max, 4);
}

static void names_that_nobody_has_are_told_and_shut_nobody_in(void **state) {
        Place *p = *state;
        _cleanup_(freep) char *first = NULL, *second = NULL, *third = NULL;

        if (geteuid() != 0)
                skip();
        write_file(p->file,
                "[users]\ngroup = scidex-no-such-group\nadmin_group = scidex-no-admins\n"
                "[user scidex-no-such-user]\nruns_max = 1\n");
        load_as(p, p->file, true);
        assert_int_equal(p->findings.n, 3);
        assert_int_equal(p->findings.n_errors, 0);
        assert_null(p->config->closed);
        assert_int_equal(p->config->group, CONFIG_NO_GROUP);
        assert_int_equal(p->config->admin_group, CONFIG_NO_GROUP);
        assert_int_equal(p->config->n_users, 0);
        first = config_finding_text(&p->findings.list[0]);
        second = config_finding_text(&p->findings.list[1]);
        third = config_finding_text(&p->findings.list[2]);
        assert_string_equal(first + strlen(p->file),
                ":2: [users] group: there is no group \"scidex-no-such-group\", so only root and admins may launch "
                "runs; "
                "make it (groupadd --system), or name another one");
        assert_string_equal(second + strlen(p->file),
                ":3: [users] admin_group: there is no group \"scidex-no-admins\", so only root is an admin; make it "
                "(groupadd --system), or name another one");
        assert_string_equal(third + strlen(p->file),
                ":5: there is no user \"scidex-no-such-user\"; mend the name, or remove the section");
}

static void a_system_file_that_others_can_write_to_is_not_read(void **state) {
        Place *p = *state;

        if (geteuid() != 0)
                skip();
        write_file(p->file, "[limits]\npids = 5\n[users]\ngroup = 1\nadmin_group = 1\n");
        assert_int_equal(chmod(p->file, 0666), 0);
        load_as(p, p->file, true);
        assert_true(p->findings.n_errors == 1);
        assert_string_equal(p->findings.list[0].reason, "not read, since others than root can write to it");
        assert_int_equal(p->config->defaults.pids, 4096);
        assert_non_null(p->config->closed);
        load_as(p, p->file, false); /* a user's own umask is the user's */
        assert_well(p);
        assert_int_equal(p->config->defaults.pids, 5);
        assert_int_equal(chmod(p->file, 0644), 0);
        assert_int_equal(chown(p->file, 1, 1), 0);
        load_as(p, p->file, true);
        assert_true(p->findings.n_errors == 1);
}

static void a_supervisor_of_ones_own_knows_no_other_users(void **state) {
        Place *p = *state;

        load(p, "[limits]\nruns_max = 4\n[user root]\nruns_max = 1\n[user 0]\nruns_max = 2\n[users]\ngroup = none\n");
        assert_well(p);
        assert_int_equal(config_caps(p->config, 0).runs_max, 4);
        assert_int_equal(p->config->group, CONFIG_NO_GROUP);
}

static void numbers_and_local_names_are_found(void **state) {
        ConfigName names[] = {
                { .name = "root" },
                { .name = "root", .is_group = true },
                { .name = "1234" },
                { .name = "1234", .is_group = true },
                { .name = "4294967295" },
                { .name = "scidex-no-such-user" },
                { .name = "scidex-no-such-group", .is_group = true },
        };

        config_resolve(names, ELEMENTSOF(names));
        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(names[i].state, NAME_FOUND);
                assert_int_equal(names[i].id, i < 2 ? 0 : 1234);
        }
        for (size_t i = 4; i < ELEMENTSOF(names); i++)
                assert_int_equal(names[i].state, NAME_UNKNOWN);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(without_a_file_the_built_in_values_hold),
                TEST(every_key_is_read),
                TEST(the_text_may_be_written_in_many_ways),
                TEST(a_long_line_is_read_whole),
                TEST(drop_ins_win_in_the_order_of_their_names),
                TEST(drop_ins_are_read_without_a_file_too),
                TEST(an_empty_value_takes_back_what_was_set),
                TEST(the_environment_wins),
                TEST(a_wrong_variable_is_named),
                TEST(every_mistake_has_its_line_its_reason_and_its_remedy),
                TEST(all_mistakes_are_told_with_their_lines),
                TEST(what_follows_a_broken_header_is_not_of_the_section_before),
                TEST(an_indented_line_is_no_part_of_the_one_before),
                TEST(a_password_is_in_no_finding),
                TEST(a_file_that_is_named_must_be_there),
                TEST(a_directory_is_no_file),
                TEST(a_nul_byte_is_no_text),
                TEST(without_xdg_the_home_is_looked_at),
                TEST(history_may_have_both_ends),
                cmocka_unit_test(the_recorder_is_told_in_its_words),
                TEST(an_address_is_of_numbers),
                TEST(a_user_has_own_caps_and_for_the_rest_those_of_everybody),
                TEST(names_that_nobody_has_are_told_and_shut_nobody_in),
                TEST(a_system_file_that_others_can_write_to_is_not_read),
                TEST(a_supervisor_of_ones_own_knows_no_other_users),
                cmocka_unit_test(numbers_and_local_names_are_found),
        };

        (void)unsetenv("SCIDEX_STORAGE_POSTGRES");
        (void)unsetenv("SCIDEX_STORAGE_SQLITE");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
