/* confine.h - what a program gives up before it meets hostile bytes
 *
 * confine.c holds one table: a row per program says which groups of system calls it loses
 * (seccomp), what it may still open (Landlock), and its limits. All of it is inherited by
 * children and survives exec. */
#ifndef COMMON_CONFINE_H
#define COMMON_CONFINE_H

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

/* called in start(), before threads are made: limits, undumpable, no new privileges,
 * Landlock, seccomp, as the program's row says. name is the program's without "heloise-":
 * "smtpd", "auth", "pam", "intake", "queue", "bounce", "deliver", "local", "resolve".
 * dirs are directory descriptors beneath which files may still be opened, made and removed
 * (NULL, 0 for none); files that are open already stay usable.
 * 0, or -1 with errno: the program must not go on then. A kernel without Landlock is no
 * error (`heloise run` warns). */
int confine_program(const char *name, const int *dirs, size_t n);

/* in a stem, from which attempts are cloned, before it meets anything but its spawner: from here
 * on it and they can make IP sockets, use what is open, bear a child with the flags CONFINE_HEIR or
 * CONFINE_SUCCESSOR, and nothing else: no files, other forks, signals to others or listening. 0, or -1 with errno
 * (leave then). */
int confine_attempt(void);

/* the flags of clone() with which a stem makes an attempt, and an attempt its successor (heir.h): a
 * child of its own parent, of which it gets a pidfd */
#define CONFINE_HEIR (CLONE_PARENT | CLONE_PIDFD | SIGCHLD)
#define CONFINE_SUCCESSOR (CONFINE_HEIR | CLONE_VM | CLONE_CHILD_CLEARTID)

/* who a program runs as */
#define CONFINE_GROUPS 32
struct confine_ids {
  uid_t uid;
  gid_t gid;
  gid_t groups[CONFINE_GROUPS];
  int ngroups;
};
/* the ids of a user by name: 0; -1 with errno, ENOENT when there is no such user */
int confine_ids_find(const char *user, struct confine_ids *ids);
/* becomes that user for good, as root. 0, or -1 with errno. */
int confine_become(const struct confine_ids *ids);

/* no core files, not dumpable, not to be traced */
void confine_secrecy(void);
/* raises the limit of open descriptors to n, or as near as it may go */
void confine_descriptors(unsigned long n);
/* whether this kernel has Landlock */
int confine_has_landlock(void);

#endif
