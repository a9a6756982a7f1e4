/* Shared by the files of group.h; not for others. */
#pragma once

#include <stdbool.h>

/*
 * What an operation on a file in the group's directory gave, in the words of group.h: -ENODEV, and -ENOENT when the
 * whole directory is gone, become GROUP_E_GONE; -ENOENT of one file GROUP_E_UNSUPPORTED; all else stays.
 */
int group_result(int group_fd, int r);

/* Whether a list separated by blanks (cgroup.controllers) has the word. */
bool text_has_word(const char *text, const char *word);
/*
 * Enables those of memory, pids and cpu for the children that cgroup.controllers has and subtree_control not, one by
 * one: a refusal does not keep the others. 0, the first -errno (-EBUSY: the group has processes), GROUP_E_GONE.
 */
int group_enable_controllers(int group_fd);
/* Whether group_enable_controllers() would find something to do. 0 or group_result(). */
int group_lacks_controllers(int group_fd, bool *ret_lacks);
