/* One parameter that is an array, in PostgreSQL's binary format. Knows nothing of connections. */
#pragma once

#include "base/cleanup.h"
#include <stdbool.h>
#include <stdint.h>

/* One array; https://www.postgresql.org/docs/15/protocol-overview.html, and array_recv() in the server. */
typedef struct ShipArray {
        uint32_t element_type, array_type; /* oids */
        char *data;                        /* owned */
        size_t size, capacity;
        uint32_t n;
        bool has_null;
} ShipArray;

void ship_array_init(ShipArray *array, uint32_t element_type, uint32_t array_type);
void ship_array_deinit(ShipArray *array);
/* Empties it; the memory stays. 0, -ENOMEM. */
int ship_array_reset(ShipArray *array);
/* size < 0: NULL. 0, -ENOMEM. */
int ship_array_add(ShipArray *array, const void *value, ssize_t size);
/* Writes the header. */
void ship_array_finish(ShipArray *array);

void ship_array_init_uuid(ShipArray *array);
/* 0, -ENOMEM; -EINVAL and nothing is added where the text is no UUID. */
int ship_array_add_uuid(ShipArray *array, const char *text);
int ship_array_add_integer(ShipArray *array, int64_t value);
int ship_array_add_real(ShipArray *array, double value);
/* RFC 3339 to a timestamptz. 0, -EINVAL and nothing is added, -ENOMEM. */
int ship_array_add_time(ShipArray *array, const char *text);
/* What is no UTF-8, or NUL, becomes \xNN. 0, -ENOMEM. */
int ship_array_add_text(ShipArray *array, const char *text, size_t size);
/* As jsonb; the same with the texts in it, since jsonb knows no \u0000. 0, -EINVAL and nothing is added, -ENOMEM. */
int ship_array_add_json(ShipArray *array, const char *text, size_t size);
