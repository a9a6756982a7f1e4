/*
 * A recorder without a face: private supervisors start it for every run, and few of them are looked at.
 *
 * Called as face.h says.  Where sockets are handed over it has become the program that serves them (shipping_exec());
 * it is still itself only where that is not installed, which has been said then.
 */
#include "cmd/scidex-recorder/face.h"

bool face_is_possible(void) {
        return false;
}

int face_new(sd_event *event, const FaceOptions *options, Face **ret) {
        *ret = NULL;
        return 0;
}

void face_free(Face *face) {
}
