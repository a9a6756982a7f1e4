/* The directory of a control socket. */
#pragma once

/*
 * Makes the directory of socket_path if it is missing, and checks that it is ours and that nobody else may write to it.
 * 0; -errno with *ret_error a sentence (owned).
 */
int place_check(const char *socket_path, char **ret_error);
