/*
 * Arrays in PostgreSQL's binary format.
 *
 * Called by the rows of the shipping for each value.  Binary, because text arrays would be escaped here and unescaped
 * there, and a timeline is mostly quotes.  The hard thing is what the server would refuse: with arrays one bad byte
 * would cost hundreds of rows, so text is escaped and JSON checked for what jsonb does not know before it gets in.
 */
#include "db/ship-array.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/uuid.h"
#include "db/columns.h"
#include <assert.h>
#include <ctype.h>
#include <endian.h>
#include <string.h>

#define HEADER_BYTES   20                             /* dimensions, flags, type, length, lower bound */
#define EPOCH_USEC     (INT64_C(946684800) * 1000000) /* 2000-01-01, from where the server counts */
#define UUID_BYTES     16
#define JSONB_VERSION  1
#define NUL_ESCAPE     "\\u0000"
#define UUID_OID       2950
#define UUID_ARRAY_OID 2951

static void put_u32(char *to, uint32_t value) {
        value = htobe32(value);
        memcpy(to, &value, sizeof(value));
}

static int reserve(ShipArray *array, size_t more) {
        size_t capacity = array->capacity ? array->capacity : 1024;
        char *data;

        while (capacity < array->size + more)
                capacity *= 2;
        if (capacity == array->capacity)
                return 0;
        data = realloc(array->data, capacity);
        if (!data)
                return -ENOMEM;
        array->data = data;
        array->capacity = capacity;
        return 0;
}

void ship_array_init(ShipArray *array, uint32_t element_type, uint32_t array_type) {
        *array = (ShipArray){ .element_type = element_type, .array_type = array_type };
}

void ship_array_init_uuid(ShipArray *array) {
        ship_array_init(array, UUID_OID, UUID_ARRAY_OID);
}

void ship_array_deinit(ShipArray *array) {
        free(array->data);
        *array = (ShipArray){ .data = NULL };
}

int ship_array_reset(ShipArray *array) {
        array->size = 0;
        array->n = 0;
        array->has_null = false;
        if (reserve(array, HEADER_BYTES) < 0)
                return -ENOMEM;
        array->size = HEADER_BYTES;
        return 0;
}

int ship_array_add(ShipArray *array, const void *value, ssize_t size) {
        size_t bytes = size < 0 ? 0 : (size_t)size;

        if (reserve(array, sizeof(uint32_t) + bytes) < 0)
                return -ENOMEM;
        put_u32(array->data + array->size, size < 0 ? UINT32_MAX : (uint32_t)size);
        array->size += sizeof(uint32_t);
        if (bytes > 0)
                memcpy(array->data + array->size, value, bytes);
        array->size += bytes;
        array->has_null = array->has_null || size < 0;
        array->n++;
        return 0;
}

void ship_array_finish(ShipArray *array) {
        const uint32_t header[] = { 1, array->has_null, array->element_type, array->n, 1 };

        static_assert(sizeof(header) == HEADER_BYTES, "the header is five words");
        for (size_t i = 0; i < ELEMENTSOF(header); i++)
                put_u32(array->data + i * sizeof(uint32_t), header[i]);
}

static unsigned digit(char c) {
        return isdigit((unsigned char)c) ? (unsigned)(c - '0') : (unsigned)(tolower((unsigned char)c) - 'a' + 10);
}

int ship_array_add_uuid(ShipArray *array, const char *text) {
        unsigned char bytes[UUID_BYTES];

        if (!text || !uuid_valid(text))
                return -EINVAL;
        for (size_t i = 0; i < UUID_BYTES; text += 2) {
                if (*text == '-')
                        text++;
                bytes[i++] = (unsigned char)(digit(text[0]) << 4 | digit(text[1]));
        }
        return ship_array_add(array, bytes, UUID_BYTES);
}

int ship_array_add_integer(ShipArray *array, int64_t value) {
        uint64_t wire = htobe64((uint64_t)value);

        return ship_array_add(array, &wire, sizeof(wire));
}

int ship_array_add_real(ShipArray *array, double value) {
        uint64_t wire;

        memcpy(&wire, &value, sizeof(wire));
        wire = htobe64(wire);
        return ship_array_add(array, &wire, sizeof(wire));
}

int ship_array_add_time(ShipArray *array, const char *text) {
        uint64_t usec;

        if (clock_parse_rfc3339(text, &usec) < 0)
                return -EINVAL;
        return ship_array_add_integer(array, (int64_t)usec - EPOCH_USEC);
}

/* The spool's texts were escaped when they came; what another program has put there may still be anything. */
static bool is_clean(const char *text, size_t size) {
        return !memchr(text, '\0', size) && text_is_utf8(text);
}

int ship_array_add_text(ShipArray *array, const char *text, size_t size) {
        _cleanup_(json_decrefp) json_t *dirty = NULL, *clean = NULL;

        if (is_clean(text, size))
                return ship_array_add(array, text, (ssize_t)size);
        dirty = json_stringn_nocheck(text, size);
        clean = json_clean_copy(dirty);
        return clean ? ship_array_add(array, json_string_value(clean), (ssize_t)json_string_length(clean)) : -ENOMEM;
}

static int add_clean_json(ShipArray *array, const char *text, size_t size) {
        size_t at = array->size;

        if (reserve(array, sizeof(uint32_t) + 1 + size) < 0)
                return -ENOMEM;
        put_u32(array->data + at, (uint32_t)size + 1);
        array->data[at + 4] = JSONB_VERSION;
        memcpy(array->data + at + 5, text, size);
        array->size += sizeof(uint32_t) + 1 + size;
        array->n++;
        return 0;
}

int ship_array_add_json(ShipArray *array, const char *text, size_t size) {
        _cleanup_(json_decrefp) json_t *dirty = NULL, *clean = NULL;
        _cleanup_(freep) char *again = NULL;

        if (is_clean(text, size) && !memmem(text, size, NUL_ESCAPE, strlen(NUL_ESCAPE)))
                return add_clean_json(array, text, size);
        dirty = json_loadb(text, size, JSON_ALLOW_NUL, NULL);
        if (!dirty)
                return -EINVAL;
        clean = json_clean_copy(dirty);
        again = clean ? json_to_text(clean) : NULL;
        return again ? add_clean_json(array, again, strlen(again)) : -ENOMEM;
}
