/* The limits on the command line of scidexctl, for `set` and `register`. */
#pragma once

#include "cmd/scidexctl/ctl.h"

/* Puts those that were given into object, as the protocol has them. 0; -EINVAL, -ENOMEM with *ret_error (NULL on OOM).
 */
int limits_put(const Options *options, json_t *object, json_t **ret_error);
