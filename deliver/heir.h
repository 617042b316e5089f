/* heir.h - a child that takes its parent's place: a process of its own with the same descriptors
 * and memory, whose parent is the one its maker has */
#ifndef DELIVER_HEIR_H
#define DELIVER_HEIR_H

#include <sys/types.h>

/* 0 in the child, which dies when the spawner does; its process number in the maker, with a
 * descriptor of the process (pidfd) in *process; -1 with errno. Only for programs of one thread;
 * functions registered for forks are not called. */
pid_t heir_make(int *process);

#endif
