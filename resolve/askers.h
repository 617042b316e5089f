/* askers.h - the attempts that ask, and their questions */
#ifndef RESOLVE_ASKERS_H
#define RESOLVE_ASKERS_H

#include "resolve/lookup.h"

#define ASKERS_MAX 16384    /* attempts at once */
#define ASKER_QUESTIONS 28  /* of one attempt under way at once; more fail at once */
#define PROGRAM_QUESTIONS 8192 /* of a program that asks about its clients */

/* the context for new questions; it stays the caller's. Before the first, askers wait. */
void askers_use(struct lookup *l);
/* takes the channel on which the spawner hands over one channel per attempt; it replaces
 * an earlier one, attempts stay. 0, or -1 with errno. */
int askers_spawner(int fd);
/* takes the channel on which a program asks by itself; name (for ever) is who it is to run.
 * 0, or -1 with errno. */
int askers_program(const char *name, int fd);

#endif
