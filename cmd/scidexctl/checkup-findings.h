/* Within checkup: a list of findings, and the checks that have a file of their own. */
#pragma once

#include "cmd/scidexctl/checkup.h"

#define FINDING_OK      "ok"
#define FINDING_WARNING "warning"
#define FINDING_NOT_OK  "not ok"

typedef struct Findings {
        json_t *list; /* owned */
        bool failed;  /* out of memory on the way */
} Findings;

/* remedy NULL: it is ok. */
void finding_add(Findings *f, const char *name, const char *status, const char *remedy, const char *format, ...)
        __attribute__((format(printf, 5, 6)));

/* The database that the record is sent to; nothing where none is configured. */
void check_database(Findings *f, const DoctorFacts *d);
/* The places that the supervisor listens at for browsers; nothing where it names none. */
void check_http(Findings *f, const DoctorFacts *d);
