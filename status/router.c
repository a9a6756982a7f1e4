/*
 * The table of documents.
 *
 * Called for each request.  The hard thing is that a document is found by its whole path or by the folder it lies in,
 * and never both ways: so no path here is the beginning of another that ends in "/" but for its own folder.
 */
#include "status/router.h"

#include "base/cleanup.h"
#include "status/api.h"
#include "status/asset.h"
#include <string.h>

static const char *const runs_known[] = { "limit", "offset", "state", "analysis_id", NULL };
static const char *const events_known[] = { "limit", "since", "reason", "analysis_id", NULL };

static const HttpRoute routes[] = {
        { "/api/quests/status", .caching = HTTP_SHARED, .is_live = true, .handle = api_handle_status },
        { "/api/runs", .known = runs_known, .caching = HTTP_SHARED, .is_live = true, .is_long = true,
                .handle = api_handle_runs },
        { "/api/runs/", .caching = HTTP_SHARED, .is_live = true, .looks = true, .handle = api_handle_run },
        { "/api/events", .known = events_known, .caching = HTTP_SHARED, .is_long = true, .handle = api_handle_events },
        { "/api/stream", .is_live = true, .is_stream = true },
        { "/metrics", .caching = HTTP_SHARED, .is_live = true, .choose = api_choose_metrics,
                .handle = api_handle_metrics },
        { "/healthz", .caching = HTTP_FRESH, .handle = api_handle_health },
        { "/", .caching = HTTP_SHARED, .is_live = true, .handle = api_handle_dashboard },
        { "/runs/", .caching = HTTP_SHARED, .is_live = true, .looks = true, .handle = api_handle_run_page },
};

/* What is embedded has no route of its own: its path is in the table that is generated with it. */
static const HttpRoute named_asset = { "/favicon.svg", .caching = HTTP_FRESH, .handle = api_handle_asset };
static const HttpRoute hashed_asset = { "/app-", .caching = HTTP_IMMUTABLE, .handle = api_handle_asset };

static const HttpRoute *asset_route(const char *path) {
        if (!asset_find(path))
                return NULL;
        return strncmp(path, hashed_asset.path, strlen(hashed_asset.path)) == 0 ? &hashed_asset : &named_asset;
}

/* What follows the route's path, NULL if it is another's. */
static const char *rest_of(const HttpRoute *route, const char *path) {
        size_t length = strlen(route->path);
        bool is_folder = length > 1 && route->path[length - 1] == '/';

        if (strncmp(path, route->path, length) != 0)
                return NULL;
        return (path[length] != '\0') == is_folder ? path + length : NULL;
}

const HttpRoute *router_find(const char *path, const char **ret_rest) {
        for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
                const char *rest = rest_of(&routes[i], path);

                if (rest) {
                        *ret_rest = rest;
                        return &routes[i];
                }
        }
        *ret_rest = path + strlen(path);
        return asset_route(path);
}
