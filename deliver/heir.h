/* heir.h - a process that takes its maker's place, with the same parent, descriptors and memory
 *
 * Only for programs of one thread; functions registered for forks are not called. The child dies
 * when the spawner, its parent, does. */
#ifndef DELIVER_HEIR_H
#define DELIVER_HEIR_H

#include <sys/types.h>

/* a copy, as by fork(): 0 in the child; its process number in the maker, with a descriptor of the
 * process (pidfd) in *process; -1 with errno */
pid_t heir_make(int *process);

/* a successor: it is given this memory itself, not a copy, and runs go_on(), which does not return.
 * The maker sends its pidfd with the len bytes of `born` on sock, and is gone. Returns only when there
 * could be no child: -1 with errno. */
int heir_follow(void (*go_on)(void), int sock, const void *born, size_t len);

#endif
