/*
 * Small files, kernel files, directories and extended attributes.
 *
 * Everything takes a directory fd and a name below it, never a rebuilt path; AT_FDCWD with a path is for
 * start-up code. Kernel files are read in one read(2) of a growing buffer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whole file as NUL-terminated text. 0 or -errno (-EFBIG above max_bytes). Caller frees *ret; ret_size may be NULL. */
int file_read_at(int dir, const char *name, size_t max_bytes, char **ret, size_t *ret_size);

/* One decimal number, "max" is UINT64_MAX. 0, -errno, -EINVAL on other text. */
int file_read_u64_at(int dir, const char *name, uint64_t *ret);

/* Writes the text in one write(2) to an existing kernel file (nothing is truncated). 0 or -errno as the kernel gave it.
 */
int file_write_at(int dir, const char *name, const char *text);

/* "key value\n" lines (memory.events, cpu.stat): the value behind key in text. 0, -ENOENT, -EINVAL if no number. */
int text_find_u64(const char *text, const char *key, uint64_t *ret);

/* Replaces path durably: temporary file, fsync, rename, fsync of the directory; mode regardless of umask. 0 or -errno.
 */
int file_replace_at(int dir, const char *name, const void *data, size_t size, mode_t mode);

/* mkdir -p of an absolute or relative path; existing parts are left as they are. 0 or -errno. */
int directory_make(const char *path, mode_t mode);

/* fgetxattr(2) as text. 0, -ENODATA, -errno. Caller frees. */
int xattr_read(int fd, const char *name, char **ret);
/* fsetxattr(2) of text. 0 or -errno. */
int xattr_write(int fd, const char *name, const char *text);

/* printf into a fresh string. NULL on OOM. Caller frees. */
char *text_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
