/* instance.h - where an instance keeps its things, and who owns it
 *
 * -C DIR or HELOISE_DIR gives DIR/control, DIR/queue, DIR/state, DIR/run, DIR/mail;
 * without either: the installed /etc/heloise, /var/spool/heloise, /var/lib/heloise,
 * /run/heloise, /var/lib/heloise/mail. */
#ifndef COMMON_INSTANCE_H
#define COMMON_INSTANCE_H

#include <sys/types.h>

struct instance {
  char *dir;                                 /* NULL for the installed one */
  char *control, *queue, *state, *run, *mail; /* absolute paths */
};

/* fills i for dir, or for $HELOISE_DIR when dir is NULL (ignored in a setuid or setgid
 * program), or for the installed instance. Paths are made absolute; nothing need exist.
 * 0, or -1 with errno. */
int instance_find(struct instance *i, const char *dir);

/* the compiled tables, opened read-only: a descriptor, or -1 with errno */
int instance_open_tables(const struct instance *i);
int instance_open_logins(const struct instance *i);

/* DIR of build/libexec or PREFIX/libexec that belongs to this binary's own place; static
 * buffer. NULL with errno. */
const char *instance_libexec(void);

/* name of the compiled tables in the control directory */
#define INSTANCE_TABLES "heloise.cdb"
/* and of those that only heloise-auth is handed */
#define INSTANCE_LOGINS "users.cdb"

#endif
