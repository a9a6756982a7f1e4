/* The files of the pages that lie in the program: script, style sheet, icon, schemas. */
#pragma once

#include <stddef.h>

typedef struct Asset {
        const char *path; /* "/app-1a2b3c4d5e6f.js": with the hash of its content, or "/favicon.svg" */
        const char *type; /* with its charset */
        const unsigned char *bytes, *gzip;
        size_t size, gzip_size;
} Asset;

/* NULL: there is none of that path. */
const Asset *asset_find(const char *path);
/* The one asset whose path begins and ends so: "/app-", ".js". NULL: the program was built without it. */
const Asset *asset_named(const char *prefix, const char *suffix);
