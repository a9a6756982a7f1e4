/*
 * Scope-bound ownership: `_cleanup_(freep) char *text = NULL;`.
 *
 * Every owner in the tree is declared with one of these, so that no path out
 * of a function can leak.  TAKE_* hands ownership on and leaves the variable
 * in its empty state (NULL, -EBADF), which every cleanup function accepts.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

/* Each argument is evaluated once; the names are unique, so that they nest. */
#define MIN_OF(a, b)          PICK_OF_(a, b, <, __COUNTER__)
#define MAX_OF(a, b)          PICK_OF_(a, b, >, __COUNTER__)
#define PICK_OF_(a, b, op, n) PICK_OF__(a, b, op, n)
#define PICK_OF__(a, b, op, n)                                \
        ({                                                    \
                typeof(a) left_##n = (a);                     \
                typeof(b) right_##n = (b);                    \
                left_##n op right_##n ? left_##n : right_##n; \
        })

#define TAKE_PTR(p)                   \
        ({                            \
                typeof(p) *_p = &(p); \
                typeof(p) _v = *_p;   \
                *_p = NULL;           \
                _v;                   \
        })

#define TAKE_FD(fd)              \
        ({                       \
                int *_p = &(fd); \
                int _v = *_p;    \
                *_p = -EBADF;    \
                _v;              \
        })

/* Declares `static inline void funcp(type *p)`, the cleanup form of func(). A type takes no parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define DEFINE_CLEANUP(type, func)            \
        static inline void func##p(type *p) { \
                if (*p)                       \
                        func(*p);             \
        }                                     \
        struct cleanup_swallows_semicolon_##func
/* NOLINTEND(bugprone-macro-parentheses) */

static inline void freep(void *p) {
        free(*(void **)p);
}

/* Closes an fd unless negative; errno stays as it was. Returns -EBADF: `fd = close_fd(fd)`. */
static inline int close_fd(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void)close(fd);
                errno = saved;
        }
        return -EBADF;
}

static inline void close_fdp(int *fd) {
        *fd = close_fd(*fd);
}

static inline void fclosep(FILE **f) {
        if (*f)
                (void)fclose(*f);
}

static inline void closedirp(DIR **d) {
        if (*d)
                (void)closedir(*d);
}
