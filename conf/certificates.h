/* certificates.h - the certificates and keys that table `certificates` names
 *
 * A value of the table is two files, CERTIFICATE KEY, relative to the control directory: the
 * certificate with those between it and its root after it, and its key, both in PEM. */
#ifndef CONF_CERTIFICATES_H
#define CONF_CERTIFICATES_H

#include <limits.h>
#include <stddef.h>
#include <stralloc.h>
#include <time.h>

#include "common/table.h"

struct certificate {
  stralloc chain, key; /* the files' bytes; bound: CERTIFICATE_FILE_MAX */
  time_t from, until;  /* when it is valid */
};

#define CERTIFICATE_FILE_MAX (1024 * 1024)

/* the two files of a value, NUL-terminated: 0, or -1. Pure. */
int certificates_files(const char *value, size_t len, char file[2][PATH_MAX]);
/* reads both and sees whether they are what they should be, and belong together. 0, or -1 with
 * why (replaced; a sentence, not NUL-terminated). Zeroes are c's beginning. */
int certificates_read(int control, const char *value, size_t len, struct certificate *c, stralloc *why);
/* what an administrator should know of one that is good: that it expires, or is not of this name
 * ("*": of any). 1 with why, or 0. */
int certificates_warn(const struct certificate *c, const char *name, stralloc *why);
void certificates_free(struct certificate *c);

/* for `heloise run`: reads those of the table anew; one that cannot be read now is kept as it was
 * before, and the failure logged. */
void certificates_load(const struct table *t, int control);
/* what heloise-smtpd is handed: a descriptor of memory with all of them (smtpd/tls_names.h), which
 * stays ours until the next load; -1 when there is none to be had */
int certificates_descriptor(void);
/* each that is loaded, with the names it serves in the table */
void certificates_each(const struct table *t, void (*f)(void *arg, const char *name, time_t until),
                       void *arg);

#endif
