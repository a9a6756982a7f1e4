/*
 * `scidexctl tree`: the groups as the kernel has them, beside the runs that the supervisor has.
 *
 * Called by main.  Where this host gives no groups (`containment: descendants`) there is no tree, which is said, and
 * the runs are listed; a run may also be held by descent beside others that have groups.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/groups-text.h"
#include "cmd/scidexctl/rows.h"
#include "control/message.h"
#include "status/field.h"
#include <string.h>

static json_t *ask_simply(const Options *options, const char *op) {
        _cleanup_(json_decrefp) json_t *request = message_request(op);

        return request ? ask(options, WHERE_LIVE, request) : NULL;
}

/* Those of runs that have none. NULL on OOM. */
static json_t *without_group(const json_t *runs) {
        json_t *list = json_array(), *run;
        size_t i;

        json_array_foreach(runs, i, run) {
                if (!field_text(run, "group"))
                        (void)json_array_append(list, run);
        }
        return list;
}

static int tree_say_json(const char *path, const Groups *groups, const json_t *others) {
        _cleanup_(json_decrefp) json_t *result = json_pack("{s:b, s:{s:s?, s:b, s:o, s:O}}", "ok", true, "tree", "path",
                path, "cut", groups->is_cut, "groups", groups_to_json(groups), "without_group", others);

        return result && json_print(result) == 0 ? CTL_OK : CTL_NO_ANSWER;
}

static int tree_say(const Terminal *terminal, const char *path, const Groups *groups, const json_t *others) {
        int r = path ? groups_print(stdout, terminal, groups) : 0;

        if (!path)
                (void)puts("This supervisor has no groups: its runs are held by descent. scidexctl doctor says why.");
        if (r == 0 && json_array_size(others) > 0) {
                (void)puts("\nWithout a group of their own:\n");
                r = runs_print(stdout, terminal, others, false, SIZE_MAX);
        }
        return r == 0 ? CTL_OK : CTL_NO_ANSWER;
}

int verb_tree(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *status = ask_simply(options, "status"), *list = NULL, *others = NULL;
        _cleanup_(json_decrefp) json_t *failure = NULL;
        _cleanup_(groups_deinit) Groups groups = { 0 };
        const char *path;
        int r = 0;

        if (answer_status(status) != CTL_OK)
                return answer_report_failure(options, status);
        list = ask_simply(options, "list");
        if (answer_status(list) != CTL_OK)
                return answer_report_failure(options, list);
        others = without_group(json_object_get(list, "rows"));
        path = field_text(json_object_get(json_object_get(status, "status"), "tree"), "path");
        if (path)
                r = groups_read(path, json_object_get(list, "rows"), &groups);
        if (r < 0 || !others) {
                failure = answer_failed("failed", "is this the same mount and cgroup namespace as the supervisor's?",
                        "the tree %s can't be read: %s", path ? path : "", strerror(-r));
                return answer_report_failure(options, failure);
        }
        return options->json ? tree_say_json(path, &groups, others) : tree_say(terminal, path, &groups, others);
}
