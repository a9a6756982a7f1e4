/*
 * The recorder's process: as whom it runs, with which arguments and environment.
 *
 * Called by recorder.c at each start of it.  The one hard thing is what others can see: arguments are everybody's to
 * read, so the connection string of the database, which may hold a password, goes into the environment.
 */
#include "supervise/recorder-child.h"

#include "base/file.h"
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>

#define CHILD_FD_SUPERVISOR 3
#define CHILD_FD_LISTEN     4
#define CHILD_FD_HTTP       5 /* and those behind it */
#define POSTGRES_VARIABLE   "SCIDEX_STORAGE_POSTGRES"
#define ARGUMENTS_MAX       (24 + 2 * HTTP_SOCKETS_MAX + 2 * HTTP_HOSTS_MAX)
#define NUMBER_MAX          16

typedef struct Arguments {
        char *list[ARGUMENTS_MAX + 1]; /* borrowed */
        char numbers[ARGUMENTS_MAX][NUMBER_MAX];
        size_t n;
} Arguments;

static void add_text(Arguments *arguments, const char *option, const char *value) {
        arguments->list[arguments->n++] = (char *)option;
        arguments->list[arguments->n++] = (char *)value;
}

static void add_number(Arguments *arguments, const char *option, unsigned value) {
        char *text = arguments->numbers[arguments->n];

        (void)snprintf(text, NUMBER_MAX, "%u", value);
        add_text(arguments, option, text);
}

static bool is_group(gid_t group) {
        return group != PEER_GID_NONE && group != 0;
}

static void add_http(const RecorderHttp *http, char *hosts, Arguments *ret) {
        char *host;

        for (size_t i = 0; i < http->n_fds; i++)
                add_number(ret, "--http-fd", CHILD_FD_HTTP + (unsigned)i);
        if (http->n_fds == 0)
                return;
        for (size_t n = 0; n < HTTP_HOSTS_MAX && (host = strsep(&hosts, " \t"));)
                if (*host) {
                        add_text(ret, "--http-host", host);
                        n++;
                }
        if (http->hides_analysis_ids)
                ret->list[ret->n++] = (char *)"--http-hide-analysis-ids";
}

/* hosts: a copy of the words, which is taken apart. */
static void fill_arguments(const RecorderOptions *o, char *hosts, Arguments *ret) {
        *ret = (Arguments){ .list = { (char *)o->program }, .n = 1 };
        add_number(ret, "--supervisor-fd", CHILD_FD_SUPERVISOR);
        add_text(ret, "--directory", o->directory);
        if (o->listen_fd >= 0)
                add_number(ret, "--listen-fd", CHILD_FD_LISTEN);
        if (o->history)
                add_text(ret, "--history", o->history);
        if (o->becomes_user) {
                add_number(ret, "--uid", o->uid);
                add_number(ret, "--gid", o->gid);
        }
        if (is_group(o->policy.group))
                add_number(ret, "--group", o->policy.group);
        if (is_group(o->policy.admin_group))
                add_number(ret, "--admin-group", o->policy.admin_group);
        if (o->policy.group_name)
                add_text(ret, "--group-name", o->policy.group_name);
        add_http(&o->http, hosts, ret);
}

/* Ours, but with the configured database, which the variable has had its part in. NULL on OOM; the list is owned. */
static char **child_environment(char *postgres) {
        size_t n = 0, length = strlen(POSTGRES_VARIABLE);
        char **list;

        while (environ[n])
                n++;
        list = calloc(n + 2, sizeof(char *));
        if (!list)
                return NULL;
        n = 0;
        for (char **variable = environ; *variable; variable++)
                if (strncmp(*variable, POSTGRES_VARIABLE, length) != 0 || (*variable)[length] != '=')
                        list[n++] = *variable;
        list[n] = postgres;
        return list;
}

int recorder_spawn(const RecorderOptions *options, int fd, pid_t *ret_pid) {
        _cleanup_(freep) char *postgres =
                options->postgres ? text_printf(POSTGRES_VARIABLE "=%s", options->postgres) : NULL;
        _cleanup_(freep) char **environment = child_environment(postgres);
        _cleanup_(freep) char *hosts = strdup(options->http.hosts ? options->http.hosts : "");
        Arguments arguments;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        int error;

        if (!environment || !hosts || (options->postgres && !postgres))
                return -ENOMEM;
        fill_arguments(options, hosts, &arguments);
        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        (void)posix_spawn_file_actions_init(&actions);
        (void)posix_spawnattr_init(&attributes);
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        (void)posix_spawnattr_setsigdefault(&attributes, &all);
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        (void)posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD_SUPERVISOR);
        if (options->listen_fd >= 0)
                (void)posix_spawn_file_actions_adddup2(&actions, options->listen_fd, CHILD_FD_LISTEN);
        for (size_t i = 0; i < options->http.n_fds; i++)
                (void)posix_spawn_file_actions_adddup2(&actions, options->http.fds[i], CHILD_FD_HTTP + (int)i);
        error = posix_spawn(ret_pid, options->program, &actions, &attributes, arguments.list, environment);
        (void)posix_spawn_file_actions_destroy(&actions);
        (void)posix_spawnattr_destroy(&attributes);
        return -error;
}

int recorder_find_user(const char *passwd, const char *name, uid_t *ret_uid, gid_t *ret_gid) {
        _cleanup_(fclosep) FILE *file = fopen(passwd, "re");
        struct passwd *entry;

        if (!file)
                return -errno;
        while ((entry = fgetpwent(file)))
                if (strcmp(entry->pw_name, name) == 0) {
                        *ret_uid = entry->pw_uid;
                        *ret_gid = entry->pw_gid;
                        return 0;
                }
        return -ENOENT;
}
