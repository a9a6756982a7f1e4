/*
 * What of the pages is embedded: the table is made by web/embed.py at build time.
 *
 * Called for each request of a path that has no route, and by the pages, which name the script and the style sheet by
 * the hash of their content. There are fewer than twenty: they are looked through one by one.
 */
#include "status/asset.h"

#include "status/asset-table.h"
#include <string.h>

const Asset *asset_find(const char *path) {
        for (const Asset *asset = asset_table; asset->path; asset++)
                if (strcmp(asset->path, path) == 0)
                        return asset;
        return NULL;
}

const Asset *asset_named(const char *prefix, const char *suffix) {
        size_t end = strlen(suffix);

        for (const Asset *asset = asset_table; asset->path; asset++) {
                size_t length = strlen(asset->path);

                if (strncmp(asset->path, prefix, strlen(prefix)) == 0 && length >= end &&
                        strcmp(asset->path + length - end, suffix) == 0)
                        return asset;
        }
        return NULL;
}
