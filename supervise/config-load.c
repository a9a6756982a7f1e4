/*
 * Where the configuration is read from: the file, its drop-ins, the environment; then users and groups become numbers.
 *
 * Called at the start and on reload.  The hard thing is a file that is wrong at a restart: refusing to start would
 * leave what runs without limits, and going on as if a cap had not been written would be too lax.  So the start goes on
 * with what could be read, and `closed` keeps everybody but admins from launching until the file is mended.
 */
#include "supervise/config-internal.h"

#include "base/file.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (1024 * 1024) /* more is no configuration */

/* What reading goes through. */
typedef struct Reading {
        Config *config, *built_in;
        ConfigFindings *findings;
} Reading;

static int on_value(const ConfigPlace *place, void *userdata) {
        Reading *r = userdata;

        return config_set(r->config, r->built_in, place, r->findings);
}

/* Who can write the system's configuration can take root's place. */
static int check_file(const Reading *r, const char *path, const struct stat *st, bool *ret_ok) {
        ConfigPlace place = { .file = path };

        *ret_ok = false;
        if (!S_ISREG(st->st_mode))
                return config_find(r->findings, true, &place, strdup("not a file"), "put a file there, or remove it");
        if (r->config->system &&
                (st->st_uid != 0 || (st->st_mode & S_IWOTH) || ((st->st_mode & S_IWGRP) && st->st_gid != 0)))
                return config_find(r->findings, true, &place,
                        strdup("not read, since others than root can write to it"),
                        "make it root's: chown root:root, chmod 644");
        *ret_ok = true;
        return 0;
}

static int note_file(Config *config, const char *path) {
        char **files = reallocarray(config->files, config->n_files + 1, sizeof(char *));

        if (!files)
                return -ENOMEM;
        config->files = files;
        files[config->n_files] = strdup(path);
        return files[config->n_files] ? (void)config->n_files++, 0 : -ENOMEM;
}

static int unreadable(const Reading *r, const char *path, int error, const char *remedy) {
        ConfigPlace place = { .file = path };

        return config_find(r->findings, true, &place, text_printf("can't be read: %s", strerror(error)), remedy);
}

/* needed: that there is none is an error. */
static int read_file(Reading *r, const char *path, bool needed) {
        _cleanup_(freep) char *text = NULL;
        ConfigPlace place = { .file = path };
        size_t size = 0;
        struct stat st;
        bool ok;
        int error;

        if (stat(path, &st) < 0)
                return errno == ENOENT && !needed ? 0 : unreadable(r, path, errno, "name a file that is there");
        error = check_file(r, path, &st, &ok);
        if (error < 0 || !ok)
                return error;
        error = file_read_at(AT_FDCWD, path, FILE_BYTES_MAX, &text, &size);
        if (error == -ENOMEM)
                return error;
        if (error < 0)
                return unreadable(r, path, -error, "make it readable, and no larger than 1 MiB");
        error = note_file(r->config, path);
        if (error < 0)
                return error;
        if (strlen(text) != size)
                return config_find(r->findings, true, &place, strdup("holds a NUL byte"), "write plain text");
        return config_read_text(path, text, on_value, r, r->findings);
}

static int is_drop_in(const struct dirent *entry) {
        size_t length = strlen(entry->d_name);

        return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* Not alphasort(3): the order would depend on the locale. */
static int by_name(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(Reading *r, const char *path) {
        _cleanup_(freep) char *directory = text_printf("%s.d", path);
        struct dirent **entries = NULL;
        int n, error = 0;

        if (!directory)
                return -ENOMEM;
        n = scandir(directory, &entries, is_drop_in, by_name);
        if (n < 0)
                return errno == ENOENT    ? 0
                        : errno == ENOMEM ? -ENOMEM
                                          : unreadable(r, directory, errno, "make it a directory that can be read");
        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *file = text_printf("%s/%s", directory, entries[i]->d_name);

                if (error == 0)
                        error = file ? read_file(r, file, true) : -ENOMEM;
                free(entries[i]);
        }
        free(entries);
        return error;
}

/* Defaults and caps, or who may, can't be relied on. */
static int close_if_wrong(Reading *r) {
        for (size_t i = 0; i < r->findings->n; i++) {
                const ConfigFinding *f = &r->findings->list[i];

                if (!f->is_error || !config_place_binds(f->section))
                        continue;
                r->config->closed = config_finding_text(f);
                return r->config->closed ? 0 : -ENOMEM;
        }
        return 0;
}

/* NULL in *ret: there is no such place (no home). */
static int usual_path(bool system, char **ret) {
        const char *directory = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

        if (system)
                *ret = strdup(CONFIG_SYSTEM_FILE);
        else if (directory && *directory == '/')
                *ret = text_printf("%s/scidex/supervisor.conf", directory);
        else if (home && *home == '/')
                *ret = text_printf("%s/.config/scidex/supervisor.conf", home);
        else
                return 0;
        return *ret ? 0 : -ENOMEM;
}

static int read_all(Reading *r, const char *given) {
        _cleanup_(freep) char *usual = NULL;
        int error = given ? 0 : usual_path(r->config->system, &usual);
        const char *path = given ? given : usual;

        if (error == 0 && path)
                error = read_file(r, path, given != NULL);
        if (error == 0 && path)
                error = read_drop_ins(r, path);
        if (error == 0)
                error = config_read_environment(r->config, r->built_in, r->findings);
        if (error == 0)
                error = config_find_names(r->config, r->findings);
        return error == 0 ? close_if_wrong(r) : error;
}

int config_load(const char *path, bool system, Config **ret, ConfigFindings *ret_findings) {
        _cleanup_(config_findings_deinit) ConfigFindings findings = { 0 };
        _cleanup_(config_freep) Config *config = NULL, *built_in = NULL;
        Reading reading = { .findings = &findings };
        int r = config_new(system, &config);

        if (r == 0)
                r = config_new(system, &built_in);
        if (r < 0)
                return r;
        reading.config = config;
        reading.built_in = built_in;
        r = read_all(&reading, path);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(config);
        *ret_findings = findings;
        findings = (ConfigFindings){ 0 };
        return 0;
}
