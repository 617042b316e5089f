/* census.h - how many sessions all processes of heloise-smtpd have, so that session-limit is
 * their sum
 *
 * A page of memory that they share: each writes its own number and reads those of the others.
 * `heloise run` makes it, and forgets the number of one that died. */
#ifndef SMTPD_CENSUS_H
#define SMTPD_CENSUS_H

#include <stddef.h>

/* for run: a descriptor, or -1 with errno */
int census_make(void);
void census_forget(int fd, unsigned int slot);

/* for heloise-smtpd: takes fd over; name is "census.SLOT.FIRST.COUNT": our slot, and those of all
 * that serve the same sockets. 0, or -1 with errno. */
int census_join(const char *name, int fd);
/* we have n sessions */
void census_tell(size_t n);
size_t census_total(void);
/* whether another process that serves our sockets has so many fewer sessions than we that the
 * next client should be its */
int census_is_heavy(void);
/* whether a process runs that serves other sockets */
int census_has_others(void);

#endif
