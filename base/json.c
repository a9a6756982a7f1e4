/*
 * jansson, with getters that say what is wrong, and numbers and text that always fit.
 *
 * Called by control/ for packets, db/ for records, cmd/ for --json. Two things do not fit JSON as jansson has it:
 * unsigned 64-bit numbers ("infinity" is UINT64_MAX, jansson's integers end at 2^63-1) and bytes that are not UTF-8
 * (json_string() answers NULL to them, and a NULL put into an object drops the key without a word). Both are settled
 * here: infinity is null, other bytes are \xNN.
 */
#include "base/json.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <limits.h>

json_t *json_from_u64(uint64_t value) {
        if (value == UINT64_MAX)
                return json_null();
        return json_integer((json_int_t)MIN_OF(value, (uint64_t)INT64_MAX));
}

json_t *json_from_text(const char *text) {
        _cleanup_(freep) char *repaired = NULL;
        json_t *string;

        if (!text)
                return json_null();
        string = json_string(text);
        if (string)
                return string;
        repaired = text_repair(text);
        return repaired ? json_string(repaired) : NULL;
}

int json_get_u64(const json_t *object, const char *key, uint64_t *ret) {
        const json_t *value = json_object_get(object, key);

        if (!value)
                return -ENOENT;
        if (json_is_null(value)) {
                *ret = UINT64_MAX;
                return 0;
        }
        if (!json_is_integer(value) || json_integer_value(value) < 0)
                return -EINVAL;
        *ret = (uint64_t)json_integer_value(value);
        return 0;
}

int json_get_int(const json_t *object, const char *key, int *ret) {
        const json_t *value = json_object_get(object, key);

        if (!value)
                return -ENOENT;
        if (!json_is_integer(value) || json_integer_value(value) < INT_MIN || json_integer_value(value) > INT_MAX)
                return -EINVAL;
        *ret = (int)json_integer_value(value);
        return 0;
}

int json_get_bool(const json_t *object, const char *key, bool *ret) {
        const json_t *value = json_object_get(object, key);

        if (!value)
                return -ENOENT;
        if (!json_is_boolean(value))
                return -EINVAL;
        *ret = json_is_true(value);
        return 0;
}

int json_get_text(const json_t *object, const char *key, const char **ret) {
        const json_t *value = json_object_get(object, key);

        if (!value || json_is_null(value))
                return -ENOENT;
        if (!json_is_string(value))
                return -EINVAL;
        *ret = json_string_value(value);
        return 0;
}

static bool was_out_of_memory;

static void *noting_malloc(size_t size) {
        void *p = malloc(size);

        was_out_of_memory |= !p;
        return p;
}

int json_parse(const char *text, size_t size, json_t **ret) {
        json_t *value;

        json_set_alloc_funcs(noting_malloc, free);
        was_out_of_memory = false;
        value = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        if (was_out_of_memory) {
                json_decref(value);
                return -ENOMEM;
        }
        if (!value)
                return -EINVAL;
        *ret = value;
        return 0;
}

/* Not json_dumps(): out of memory, jansson 2.14 can leave out a key and go on; into a buffer of ours nothing fails. */
static char *to_text(const json_t *object, size_t flags) {
        size_t size = json_dumpb(object, NULL, 0, flags);
        _cleanup_(freep) char *text = size > 0 ? malloc(size + 1) : NULL;

        if (!text || json_dumpb(object, text, size, flags) != size)
                return NULL;
        text[size] = '\0';
        return TAKE_PTR(text);
}

char *json_to_text(const json_t *object) {
        return to_text(object, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *json_to_lines(const json_t *object) {
        return to_text(object, JSON_INDENT(2) | JSON_ENCODE_ANY);
}
