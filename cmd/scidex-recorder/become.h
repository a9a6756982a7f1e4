/* From root to the user that keeps the record. */
#pragma once

#include <sys/types.h>

/*
 * Makes the directory if it is missing (0750), gives it and the record that a recorder of root's has left in it to
 * uid and gid. Nothing else in it is touched, no link is followed. 0, -errno.
 */
int become_prepare(const char *directory, uid_t uid, gid_t gid);

/*
 * Becomes uid and gid for good: no other groups, no capabilities, no way back, also not through a set-uid program. 0,
 * -errno; -ENOTRECOVERABLE: there is a way back.
 */
int become_user(uid_t uid, gid_t gid);
