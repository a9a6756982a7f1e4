/*
 * Setting a corrupt database aside.
 *
 * Called by the spool when SQLite reports CORRUPT or NOTADB.  The hard thing is that two recorders may share a
 * directory and both see the damage: the second must not put aside the new file of the first, so whoever holds a
 * connection asks first whether its file is still the one at the path.
 */
#include "db/aside.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "db/database.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ASIDE_PREFIX   DATABASE_NAME ".corrupt-"
#define ASIDE_SAME_MAX 100 /* files set aside within one second; more is a loop, not an accident */

bool database_has_moved(sqlite3 *db) {
        int moved = 0;

        return sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

/* A free name: spool.sqlite.corrupt-20261121T071942Z, with -2, -3, … if that is taken. */
static int aside_name(int dir, uint64_t realtime_usec, char **ret) {
        time_t seconds = (time_t)(realtime_usec / USEC_PER_SEC);
        char stamp[sizeof("20261121T071942Z")] = "";
        struct tm utc;
        struct stat st;

        if (!gmtime_r(&seconds, &utc) || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc) == 0)
                return -EINVAL;
        for (unsigned i = 1; i <= ASIDE_SAME_MAX; i++) {
                _cleanup_(freep) char *name =
                        i == 1 ? text_printf(ASIDE_PREFIX "%s", stamp) : text_printf(ASIDE_PREFIX "%s-%u", stamp, i);

                if (!name)
                        return -ENOMEM;
                if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
                        *ret = TAKE_PTR(name);
                        return 0;
                }
        }
        return -EEXIST;
}

static int rename_with(int dir, const char *name, const char *suffix) {
        _cleanup_(freep) char *from = text_printf(DATABASE_NAME "%s", suffix);
        _cleanup_(freep) char *to = text_printf("%s%s", name, suffix);

        if (!from || !to)
                return -ENOMEM;
        return renameat(dir, from, dir, to) < 0 && errno != ENOENT ? -errno : 0;
}

int database_set_aside(const char *directory, sqlite3 *db, uint64_t realtime_usec) {
        static const char *const suffixes[] = { "-wal", "-shm", "-journal", "" };
        _cleanup_(close_fdp) int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(freep) char *name = NULL;
        int r;

        if (dir < 0)
                return -errno;
        if (db && database_has_moved(db))
                return 0;
        r = aside_name(dir, realtime_usec, &name);
        /* The database last: a crash in between leaves it where the next start finds it corrupt again. */
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(suffixes); i++)
                r = rename_with(dir, name, suffixes[i]);
        if (r == 0)
                (void)fsync(dir);
        return r;
}

static bool ends_with(const char *text, const char *end) {
        size_t n = strlen(text), m = strlen(end);

        return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_aside(const char *name) {
        return strncmp(name, ASIDE_PREFIX, strlen(ASIDE_PREFIX)) == 0 && !ends_with(name, "-wal") &&
                !ends_with(name, "-shm") && !ends_with(name, "-journal");
}

static int by_name(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int only_aside(const struct dirent *entry) {
        return is_aside(entry->d_name);
}

json_t *database_list_aside(const char *directory) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        struct dirent **entries = NULL;
        int n = scandir(directory, &entries, only_aside, by_name), r = list ? 0 : -1;

        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *path = text_printf("%s/%s", directory, entries[i]->d_name);

                if (r == 0)
                        r = json_array_append_new(list, json_from_text(path));
                free(entries[i]);
        }
        free(entries);
        return r == 0 ? TAKE_PTR(list) : NULL;
}
