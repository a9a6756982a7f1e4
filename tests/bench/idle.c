/*
 * idle: waits for a signal, and is as small as a process can be. What the bench of many runs has in each of them.
 */

#include <unistd.h>

int main(void) {
        return pause();
}
