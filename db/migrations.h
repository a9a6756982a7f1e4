/* The files of db/migrations, as the build has made them into C. */
#pragma once

#include <stddef.h>

typedef struct Migration {
        int version; /* 1, 2, …; 0 ends the table */
        const char *name, *sql;
} Migration;

extern const Migration migrations[];
extern const char reader_sql[], writer_sql[];
