/*
 * Entries of the journal about runs and refusals.
 *
 * Called by the supervisor's steps (act, ending, life, restart, serve).  Nothing here decides, waits or keeps state but
 * the count of refusals.  The ids were made once with uuidgen and never change: people's filters and the catalog's
 * texts hang on them.
 */
#include "supervise/story.h"

#include "base/clock.h"
#include "base/parse.h"
#include "supervise/verdict.h"
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

static const char *const message_ids[] = {
        [STORY_LAUNCH] = "dd3e7e50d0fd4e9cbc8e8d06f2d6e94d",
        [STORY_WARN] = "f173e305a8b94f0d8162021685c7a899",
        [STORY_TERM] = "0c4a5ab62fec46a4ab2f2bf7cfee5521",
        [STORY_KILL] = "c4c3dbadffcb46e8908ed973e7b1d7c8",
        [STORY_VERDICT] = "b884ef6fea0f4d41b6c36fcb31126454",
        [STORY_ADOPTION] = "446d1dc08dcd41e282f1b1cd94044ce4",
        [STORY_REFUSAL] = "a4b2d6d8308f47c1b8a398eb4f431ff5",
};
static_assert(ELEMENTSOF(message_ids) == STORY_KIND_MAX, "each kind has an id");

const char *story_message_id(StoryKind kind) {
        return kind >= 0 && kind < STORY_KIND_MAX ? message_ids[kind] : NULL;
}

static void put_limit(JournalEntry *entry, const char *name, uint64_t value, bool is_time) {
        if (value == UINT64_MAX)
                journal_text(entry, name, "infinity");
        else if (is_time)
                journal_seconds(entry, name, value);
        else
                journal_u64(entry, name, value);
}

static void put_who(JournalEntry *entry, const Run *run) {
        journal_u64(entry, "SCIDEX_UID", run->uid);
        journal_u64(entry, "SCIDEX_LAUNCHER_PID", (uint64_t)run->launcher_pid);
        if (run->pid > 0)
                journal_u64(entry, "SCIDEX_PID", (uint64_t)run->pid);
        put_limit(entry, "SCIDEX_MEMORY_MAX", run->request.memory_bytes, false);
        put_limit(entry, "SCIDEX_TIMEOUT_SEC", run->request.timeout_usec, true);
}

static void put_figures(JournalEntry *entry, const Run *run) {
        uint64_t peak = run->enforcement == ENFORCEMENT_SAMPLED ? run->watch.peak_bytes : run->usage.memory_peak_bytes;
        uint64_t until = run->ended_usec ? run->ended_usec : clock_boottime_usec();

        journal_seconds(entry, "SCIDEX_DURATION_SEC", usec_sub(until, run->launched_usec));
        if (peak != USAGE_UNKNOWN)
                journal_u64(entry, "SCIDEX_MEMORY_PEAK", peak);
}

static void put_kill(JournalEntry *entry, const Run *run) {
        journal_text(entry, "SCIDEX_EVENT_ID", run->kill.event_id.text);
        journal_u64(entry, "SCIDEX_PROCESSES", run->kill.processes.count);
        if (run->verdict != VERDICT_NONE)
                return; /* which says it */
        journal_text(entry, "SCIDEX_VERDICT", verdict_to_string(run->kill.reason));
        journal_text(entry, "SCIDEX_DETAIL", run->kill.detail);
}

static void put_verdict(JournalEntry *entry, const Run *run) {
        journal_text(entry, "SCIDEX_VERDICT", verdict_to_string(run->verdict));
        journal_text(entry, "SCIDEX_DETAIL", run->verdict_detail);
        if (!run->status_known || run->exec_errno != 0)
                return;
        if (WIFSIGNALED(run->wait_status))
                journal_text(entry, "SCIDEX_EXIT_SIGNAL", signal_to_name(WTERMSIG(run->wait_status)));
        else
                journal_u64(entry, "SCIDEX_EXIT_STATUS", (uint64_t)WEXITSTATUS(run->wait_status));
}

void story_tell(StoryKind kind, LogLevel level, const Run *run, const char *format, ...) {
        _cleanup_(freep) char *message = NULL;
        JournalEntry entry;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&message, format, ap);
        va_end(ap);
        if (r < 0) {
                message = NULL;
                return;
        }
        journal_clear(&entry);
        if (journal_is_open()) {
                journal_text(&entry, "MESSAGE_ID", message_ids[kind]);
                put_who(&entry, run);
                if (kind != STORY_LAUNCH)
                        put_figures(&entry, run);
                if (run->verdict != VERDICT_NONE)
                        put_verdict(&entry, run);
                if (run_has_kill(run))
                        put_kill(&entry, run);
        }
        log_entry(level, &entry, run->id.text, run->request.analysis_id, "%s", message);
}

/* How many refusals were left out before this one, which is to be said; < 0: leave this one out as well. */
static int64_t refusals_before(uint64_t now_usec) {
        static uint64_t window_usec, n_in_window, n_left_out;
        uint64_t before;

        if (window_usec == 0 || now_usec >= usec_add(window_usec, STORY_REFUSALS_USEC)) {
                window_usec = now_usec;
                n_in_window = 0;
        }
        if (n_in_window >= STORY_REFUSALS_MAX) {
                n_left_out++;
                return -1;
        }
        n_in_window++;
        before = n_left_out;
        n_left_out = 0;
        return (int64_t)before;
}

void story_refuse(const Refusal *refusal, uint64_t now_usec) {
        int64_t before = refusals_before(now_usec);
        JournalEntry entry;
        char left_out[64] = "";

        if (before < 0)
                return;
        if (before > 0)
                (void)snprintf(left_out, sizeof(left_out), " (and %" PRId64 " refusals before, not listed)", before);
        journal_clear(&entry);
        journal_text(&entry, "MESSAGE_ID", message_ids[STORY_REFUSAL]);
        journal_text(&entry, "SCIDEX_OPERATION", refusal->op);
        journal_text(&entry, "SCIDEX_CODE", refusal->code);
        journal_text(&entry, "SCIDEX_DETAIL", refusal->detail);
        journal_u64(&entry, "SCIDEX_UID", refusal->uid);
        journal_u64(&entry, "SCIDEX_PID", (uint64_t)refusal->pid);
        log_entry(LOG_LEVEL_WARNING, &entry, NULL, refusal->analysis_id, "refused %s to uid %u, pid %d: %s%s",
                refusal->op, (unsigned)refusal->uid, (int)refusal->pid, refusal->message, left_out);
}
