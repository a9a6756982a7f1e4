/* Where our other programs are: beside this one (a build tree), else where they were installed. */
#pragma once

/* 0 and a path (owned) that exists, -ENOENT, -ENOMEM. */
int sibling_find(const char *program, char **ret_path);
