/* libexec.h - starting a program of ours that belongs to this binary's own place */
#ifndef COMMON_LIBEXEC_H
#define COMMON_LIBEXEC_H

#include <stddef.h>
#include <sys/types.h>

/* a descriptor of ours, and its number there */
struct libexec_fd {
  int ours, theirs;
};

/* starts libexec/PROGRAM with at most one argument (NULL: none), n descriptors besides those that are
 * not close-on-exec, and no environment: its pid, or -1 with errno */
pid_t libexec_start(const char *program, const char *arg, const struct libexec_fd *fd, size_t n);

#endif
