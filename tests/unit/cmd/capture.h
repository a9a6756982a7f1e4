/* What a function writes to an fd, as text. */
#pragma once

typedef struct Capture {
        int fd, saved, file; /* owned */
} Capture;

Capture capture_begin(int fd);
/* The text written since (owned); the fd is as it was before. */
char *capture_end(Capture *capture);
