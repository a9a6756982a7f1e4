/*
 * The story of a run as the journal tells it: one entry at each step, with the step's MESSAGE_ID and what explains it
 * as fields, so that `journalctl SCIDEX_ANALYSIS_ID=…` reads from the launch to the verdict. units/scidex.catalog says
 * to each id what it means and what to do. Where stderr is no journal the line alone is written.
 *
 * Every entry about a run has SCIDEX_RUN_ID, SCIDEX_ANALYSIS_ID (the bytes as they were given), SCIDEX_UID,
 * SCIDEX_LAUNCHER_PID, SCIDEX_PID (once known), SCIDEX_MEMORY_MAX (bytes, "infinity") and SCIDEX_TIMEOUT_SEC. After the
 * launch also SCIDEX_DURATION_SEC and SCIDEX_MEMORY_PEAK (bytes). With a kill SCIDEX_EVENT_ID, SCIDEX_VERDICT (its
 * reason) and SCIDEX_DETAIL; the verdict has its own, and SCIDEX_EXIT_STATUS or SCIDEX_EXIT_SIGNAL. A refusal has
 * SCIDEX_OPERATION, SCIDEX_CODE, SCIDEX_DETAIL, SCIDEX_UID, SCIDEX_PID and, of a launch, the SCIDEX_ANALYSIS_ID asked
 * for.
 */
#pragma once

#include "base/log.h"
#include "supervise/run.h"

typedef enum StoryKind {
        STORY_LAUNCH,   /* the group stands and has its limits; the process comes next */
        STORY_WARN,     /* the signal before the wall-clock limit */
        STORY_TERM,     /* the end has begun: TERM to the group, the grace runs */
        STORY_KILL,     /* cgroup.kill, or the kernel's own kill */
        STORY_VERDICT,  /* why it ended */
        STORY_ADOPTION, /* a supervisor that has just started took it over */
        STORY_REFUSAL,  /* a request was denied */
        STORY_KIND_MAX,
        STORY_KIND_INVALID = -22,
} StoryKind;

/* 32 hex digits, as MESSAGE_ID= has them. */
const char *story_message_id(StoryKind kind);

void story_tell(StoryKind kind, LogLevel level, const Run *run, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* What was refused to whom. Texts may be NULL; analysis_id is as it was asked for. */
typedef struct Refusal {
        const char *op, *code, *message, *detail, *analysis_id;
        uid_t uid;
        pid_t pid;
} Refusal;

/*
 * Says a refusal: at most STORY_REFUSALS_MAX in STORY_REFUSALS_USEC, so that a client that asks in a loop can't drown
 * the story of the runs in the journal's queue and rate limit; how many were left out is said with the next one.
 */
#define STORY_REFUSALS_MAX  50
#define STORY_REFUSALS_USEC (UINT64_C(10) * 1000000)
void story_refuse(const Refusal *refusal, uint64_t now_usec);
