/*
 * The live mirror: states.
 *
 * Called by whoever shows what runs now.
 */
#include "status/live.h"

#include <string.h>

static const char *const states[LIVE_STATE_MAX_] = {
        [LIVE_STARTING] = "starting",
        [LIVE_RUNNING] = "running",
        [LIVE_GRACE] = "grace",
        [LIVE_KILLING] = "killing",
        [LIVE_ENDING] = "ending",
};

const char *live_state_to_string(LiveState state) {
        return state >= 0 && state < LIVE_STATE_MAX_ ? states[state] : NULL;
}

LiveState live_state_from_string(const char *text) {
        for (LiveState state = 0; state < LIVE_STATE_MAX_; state++)
                if (strcmp(states[state], text) == 0)
                        return state;
        return LIVE_STATE_INVALID_;
}
