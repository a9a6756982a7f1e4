/*
 * `set`: other limits for a run that lives.
 *
 * Called from the table in serve.c.  The order is the hard thing: the group's attribute first, so that a supervisor
 * that comes after us holds the run to what was asked for, then the kernel's limit, then the launcher (its backstop),
 * then the answer.  A deadline that lies in the past by now is no mistake: the run is ended as `timeout`, and the
 * answer says so.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "supervise/adopt.h"
#include "supervise/lower.h"
#include "supervise/serve.h"
#include <string.h>

static const char *const settable[] = { "timeout_usec", "memory_bytes", "grace_usec" };

static json_t *asked_limits(const json_t *body) {
        json_t *limits = json_object();

        for (size_t i = 0; i < ELEMENTSOF(settable); i++)
                if (json_object_get(body, settable[i]))
                        (void)json_object_set(limits, settable[i], json_object_get(body, settable[i]));
        return limits;
}

/* The run's state follows its request. */
static void follow(Run *run) {
        uint64_t now_usec = clock_boottime_usec(), warn_usec;

        run->deadline_usec = usec_add(run->launched_usec, run->request.timeout_usec);
        warn_usec = usec_sub(run->deadline_usec, run->request.warn_before_usec);
        run->warned = run->warned && now_usec >= warn_usec; /* it is to be warned again of a later end */
        if (run->request.memory_bytes != UINT64_MAX && !run->kept.memory)
                run->enforcement = ENFORCEMENT_SAMPLED;
        if (run->enforcement == ENFORCEMENT_SAMPLED)
                run->watch.next_look_usec = now_usec;
}

static int write_memory(Supervisor *s, Run *run, bool *ret_aside) {
        int r = lower_limits(s, run, ret_aside);

        if (r == 0 && !*ret_aside)
                lower_done(s, run);
        return r;
}

/* 0; -errno and all is as before. */
static int change(Supervisor *s, Run *run, const RunRequest *after, bool *ret_aside) {
        RunRequest before = run->request;
        Enforcement enforcement = run->enforcement;
        int r;

        *ret_aside = false;
        run->request = *after;
        run->setting = run->setting || after->memory_bytes != before.memory_bytes;
        follow(run);
        r = adopt_save(run, s->boot_id);
        if (r == -EOPNOTSUPP) /* no group */
                r = 0;
        if (r == 0 && after->memory_bytes != before.memory_bytes)
                r = write_memory(s, run, ret_aside);
        if (r == 0)
                return 0;
        run->request = before;
        follow(run);
        run->enforcement = enforcement;
        (void)adopt_save(run, s->boot_id);
        if (after->memory_bytes != before.memory_bytes)
                (void)write_memory(s, run, ret_aside); /* of several files some may have taken theirs */
        return r;
}

static void tell_launcher(const Run *run) {
        _cleanup_(json_decrefp) json_t *packet = message_reply("changed");

        if (!run->client)
                return;
        if (json_object_set_new(packet, "request", request_limits_to_json(&run->request)) < 0 ||
                json_object_set_new(packet, "deadline_boottime_usec", json_from_u64(run->deadline_usec)) < 0)
                return; /* told when it attaches again; its backstop alone goes by the old ones */
        (void)client_send(run->client, packet, NULL, 0);
}

static void tell_record(Supervisor *s, Run *run) {
        if (run->announced)
                (void)recorder_send(s->recorder, "process", "run",
                        record_run(&s->record_host, run, clock_boottime_usec()), run->id.text);
}

static json_t *answer(const Request *q, const Run *run, json_t *was, bool aside) {
        _cleanup_(json_decrefp) json_t *reply = message_reply(q->op);
        char at[CLOCK_RFC3339_MAX];
        uint64_t deadline_at = usec_add(run->launched_at, run->request.timeout_usec);

        if (json_object_set_new(reply, "run_id", json_string(run->id.text)) < 0 ||
                json_object_set_new(reply, "analysis_id", json_from_text(run->request.analysis_id)) < 0 ||
                json_object_set(reply, "was", was) < 0 ||
                json_object_set_new(reply, "request", request_limits_to_json(&run->request)) < 0 ||
                json_object_set_new(reply, "deadline_at",
                        deadline_at == USEC_INFINITY ? json_null()
                                                     : json_string(clock_format_rfc3339(at, deadline_at))) < 0 ||
                json_object_set_new(reply, "ends_now", json_boolean(run->deadline_usec <= clock_boottime_usec())) < 0 ||
                json_object_set_new(reply, "reclaiming", json_boolean(aside)) < 0 ||
                json_object_set_new(reply, "enforcement",
                        json_string(run->enforcement == ENFORCEMENT_SAMPLED ? "sampled" : "kernel")) < 0)
                return NULL;
        return TAKE_PTR(reply);
}

static void log_change(const Request *q, const Run *run) {
        char memory[FORMAT_MAX], time[FORMAT_MAX], grace[FORMAT_MAX];

        log_run(LOG_LEVEL_NOTICE, run->id.text, run->request.analysis_id,
                "changed by uid %u: memory limit %s, time limit %s, grace %s", (unsigned)q->message->uid,
                format_bytes(memory, run->request.memory_bytes), format_duration(time, run->request.timeout_usec),
                format_duration(grace, run->request.grace_usec));
}

bool serve_may_change(const Request *q, const Run *run) {
        if (!run->registered || run->registered_by == run->uid || client_peer(q->session->client)->role >= ROLE_ADMIN)
                return true;
        serve_refuse(q, "denied", "root has registered it", NULL,
                "Ask root or an admin: its limits are not for its owner to lift.");
        return false;
}

/* The run, when it can still be changed; else the refusal is sent. */
static Run *changeable(const Request *q) {
        Run *run;

        run = serve_select_one(q);
        if (!run || !serve_may_change(q, run))
                return NULL;
        if (run->phase <= PHASE_RUNNING)
                return run;
        serve_refuse(q, "gone", "the run is being ended", NULL, "Its limits are of no more use to it.");
        return NULL;
}

/* What it would become, or the refusal is sent. The texts are the run's. */
static bool wanted(const Request *q, const Run *run, RunRequest *ret) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(json_decrefp) json_t *limits = asked_limits(q->message->body);
        RunRequest after = run->request;

        if (json_object_size(limits) == 0) {
                serve_refuse(q, "bad-request", "no limit is named", NULL,
                        "Give one or more of timeout_usec, memory_bytes, grace_usec.");
                return false;
        }
        if (request_update(&after, limits, &error) < 0) {
                serve_refuse(q, "bad-request", error.message ? error.message : "out of memory", NULL, error.hint);
                return false;
        }
        if (run->request.require_kernel && after.memory_bytes != UINT64_MAX && !run->kept.memory) {
                serve_refuse(q, "unsupported",
                        "the memory limit could only be sampled here, and --require=kernel forbids that", NULL,
                        "Start the run again without --require=kernel.");
                return false;
        }
        if (!serve_admit_change(q, run, &after))
                return false;
        *ret = after;
        return true;
}

void serve_set(const Request *q) {
        _cleanup_(json_decrefp) json_t *was = NULL;
        Run *run = changeable(q);
        RunRequest after;
        bool aside;
        int r;

        if (!run || !wanted(q, run, &after))
                return;
        was = request_limits_to_json(&run->request);
        r = was ? change(q->s, run, &after, &aside) : -ENOMEM;
        if (r < 0)
                return serve_refuse(q, r == -EBUSY ? "busy" : "failed", "the limits can't be changed", strerror(-r),
                        "They are as before. See `scidexctl doctor`.");
        log_change(q, run);
        tell_launcher(run);
        tell_record(q->s, run);
        serve_answer(q, answer(q, run, was, aside));
        life_look(q->s, run);
}
