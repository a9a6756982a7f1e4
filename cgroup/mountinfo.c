/*
 * Finds the cgroup mounts in /proc/self/mountinfo, where libcgroup does not: it skips a v2 mount without controllers,
 * and knows nothing of the part of the hierarchy that a mount shows. host.c calls it.
 *
 * A line has a variable number of optional fields before " - ", so it is read from both ends of that mark:
 * `41 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw`. Blanks within a field are \040.
 */
#include "cgroup/mountinfo.h"
#include "base/cleanup.h"
#include <string.h>

typedef struct Field {
        const char *at;
        size_t length;
} Field;

enum { FIELD_ROOT = 3, FIELD_MOUNT = 4 }; /* counted from 0 */

/* The n-th field, by single blanks, of text up to end; length 0 if there is none. */
static Field field_get(const char *text, const char *end, unsigned n) {
        for (const char *at = text; at < end;) {
                const char *blank = memchr(at, ' ', (size_t)(end - at));
                const char *stop = blank ? blank : end;

                if (n-- == 0)
                        return (Field){ at, (size_t)(stop - at) };
                at = blank ? blank + 1 : end;
        }
        return (Field){ end, 0 };
}

static bool field_is(Field field, const char *text) {
        return field.length == strlen(text) && strncmp(field.at, text, field.length) == 0;
}

static bool is_octal(const char *digits) {
        return digits[0] >= '0' && digits[0] <= '3' && digits[1] >= '0' && digits[1] <= '7' && digits[2] >= '0' &&
                digits[2] <= '7';
}

static char *field_decode(Field field) {
        char *text = malloc(field.length + 1), *out = text;

        if (!text)
                return NULL;
        for (size_t i = 0; i < field.length; i++) {
                if (field.at[i] == '\\' && i + 3 < field.length && is_octal(field.at + i + 1)) {
                        const char *digits = field.at + i + 1;

                        *out++ = (char)((digits[0] - '0') << 6 | (digits[1] - '0') << 3 | (digits[2] - '0'));
                        i += 3;
                } else {
                        *out++ = field.at[i];
                }
        }
        *out = '\0';
        return text;
}

/* Mount options of a v1 hierarchy: "rw,memory"; one without a controller has only rw, xattr, name=, release_agent=. */
static bool has_controller(Field options) {
        static const char *const none[] = { "rw", "ro", "xattr", "none", "noprefix", "clone_children" };

        for (const char *at = options.at, *end = options.at + options.length; at < end;) {
                const char *comma = memchr(at, ',', (size_t)(end - at));
                Field word = { at, (size_t)((comma ? comma : end) - at) };
                bool known = memchr(word.at, '=', word.length);

                for (size_t i = 0; i < ELEMENTSOF(none); i++)
                        known = known || field_is(word, none[i]);
                if (!known)
                        return true;
                at = comma ? comma + 1 : end;
        }
        return false;
}

static int parse_line(const char *line, const char *end, CgroupMounts *inout) {
        const char *mark = memmem(line, (size_t)(end - line), " - ", 3);
        Field type, root, mount;

        if (!mark)
                return 0;
        type = field_get(mark + 3, end, 0);
        root = field_get(line, mark, FIELD_ROOT);
        mount = field_get(line, mark, FIELD_MOUNT);
        if (field_is(type, "cgroup") && has_controller(field_get(mark + 3, end, 2)))
                inout->v1_controllers = true;
        if (!field_is(type, "cgroup2") || inout->v2_mount || mount.length == 0)
                return 0;
        inout->v2_mount = field_decode(mount);
        inout->v2_root = field_decode(root);
        return inout->v2_mount && inout->v2_root ? 0 : -ENOMEM;
}

int cgroup_mounts_parse(const char *text, CgroupMounts *ret) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts = {};

        for (const char *line = text; *line;) {
                const char *end = strchrnul(line, '\n');
                int r = parse_line(line, end, &mounts);

                if (r < 0)
                        return r;
                line = *end ? end + 1 : end;
        }
        *ret = mounts;
        mounts = (CgroupMounts){};
        return 0;
}

void cgroup_mounts_deinit(CgroupMounts *mounts) {
        free(mounts->v2_mount);
        free(mounts->v2_root);
        *mounts = (CgroupMounts){};
}
