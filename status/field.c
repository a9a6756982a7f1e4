/*
 * What rows hold, for people.
 *
 * Called by every verb that prints a run or an event.  Every member may be null or missing (an older supervisor, a host
 * that can't know it), so each getter says whether it was there, and no figure is made up.
 */
#include "status/field.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <pwd.h>
#include <string.h>
#include <time.h>

#define SHORT_ID 8

const char *field_text(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

bool field_u64(const json_t *object, const char *key, uint64_t *ret) {
        const json_t *value = json_object_get(object, key);

        if (!json_is_integer(value) || json_integer_value(value) < 0)
                return false;
        *ret = (uint64_t)json_integer_value(value);
        return true;
}

bool field_real(const json_t *object, const char *key, double *ret) {
        const json_t *value = json_object_get(object, key);

        if (!json_is_number(value))
                return false;
        *ret = json_number_value(value);
        return true;
}

bool field_usec(const json_t *object, const char *key, uint64_t *ret_usec) {
        double seconds;

        if (!field_real(object, key, &seconds) || !(seconds >= 0) || seconds > 1e12)
                return false;
        *ret_usec = (uint64_t)(seconds * 1e6 + 0.5);
        return true;
}

bool field_time(const json_t *object, const char *key, uint64_t *ret_realtime_usec) {
        const char *text = field_text(object, key);

        return text && clock_parse_rfc3339(text, ret_realtime_usec) == 0;
}

const char *field_bytes(char buffer[static FORMAT_MAX], const json_t *object, const char *key, const char *otherwise) {
        uint64_t value;

        return field_u64(object, key, &value) ? format_bytes(buffer, value) : otherwise;
}

const char *field_duration(
        char buffer[static FORMAT_MAX], const json_t *object, const char *key, const char *otherwise) {
        uint64_t value;

        return field_usec(object, key, &value) ? format_duration(buffer, value) : otherwise;
}

/* Local time of a realtime; false when it has none. */
static bool local_time(uint64_t realtime_usec, struct tm *ret) {
        time_t seconds = (time_t)(realtime_usec / USEC_PER_SEC);

        return localtime_r(&seconds, ret) != NULL;
}

const char *format_when(char buffer[static FORMAT_MAX], uint64_t realtime_usec) {
        struct tm parts;

        if (!local_time(realtime_usec, &parts) || strftime(buffer, FORMAT_MAX, "%Y-%m-%d %H:%M:%S", &parts) == 0)
                return "?";
        return buffer;
}

const char *field_when(char buffer[static FORMAT_MAX], const json_t *object, const char *key, const char *otherwise) {
        uint64_t value;

        return field_time(object, key, &value) ? format_when(buffer, value) : otherwise;
}

const char *field_clock(char buffer[static FORMAT_MAX], const json_t *object, const char *key, const char *otherwise) {
        struct tm parts;
        uint64_t value;

        if (!field_time(object, key, &value) || !local_time(value, &parts) ||
                strftime(buffer, FORMAT_MAX, "%H:%M:%S", &parts) == 0)
                return otherwise;
        return buffer;
}

const char *run_short_id(const json_t *object) {
        const char *id = field_text(object, "run_id");
        size_t length = id ? strlen(id) : 0;

        return !id ? "?" : length > SHORT_ID ? id + length - SHORT_ID : id;
}

bool run_private_bytes(const json_t *object, uint64_t *ret) {
        uint64_t anon, shmem;

        if (!field_u64(object, "anon_bytes", &anon))
                return field_u64(object, "memory_bytes", ret);
        *ret = anon + (field_u64(object, "shmem_bytes", &shmem) ? shmem : 0);
        return true;
}

bool run_age(const json_t *object, uint64_t now_realtime_usec, uint64_t *ret_usec) {
        uint64_t launched;

        if (field_usec(object, "duration_sec", ret_usec))
                return true;
        if (!field_time(object, "launched_at", &launched))
                return false;
        *ret_usec = usec_sub(now_realtime_usec, launched);
        return true;
}

char *run_user(const json_t *object) {
        const struct passwd *user;
        uint64_t uid;

        if (!field_u64(object, "uid", &uid))
                return strdup("-");
        user = getpwuid((uid_t)uid);
        return user ? strdup(user->pw_name) : text_printf("%u", (unsigned)uid);
}

static bool shell_plain(const char *text) {
        return *text &&
                strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,") ==
                strlen(text);
}

char *shell_quote(const char *text) {
        _cleanup_(freep) char *quoted = NULL;
        char *end;

        if (shell_plain(text))
                return strdup(text);
        quoted = malloc(strlen(text) * 4 + 3);
        if (!quoted)
                return NULL;
        end = quoted;
        *end++ = '\'';
        for (; *text; text++)
                if (*text == '\'')
                        end = stpcpy(end, "'\\''");
                else
                        *end++ = *text;
        (void)stpcpy(end, "'");
        return TAKE_PTR(quoted);
}
