/* program.h - what every libexec program does alike
 *
 * `heloise run` starts a program with descriptor 3 as its control channel and hands it
 * there all it may use: directories, the compiled tables, listening sockets, channels to
 * its peers; then START. The program confines itself in start() and serves the loop.
 * Later TABLEs and CHANNELs replace the old ones without a restart. When the control
 * channel ends, the program ends. */
#ifndef COMMON_PROGRAM_H
#define COMMON_PROGRAM_H

#include "common/table.h"

#define PROGRAM_CONTROL_FD 3

struct program {
  const char *name; /* without "heloise-" */
  /* each may be NULL where run hands out none. They get the descriptor's ownership and
   * return 0, or -1 to end the program. */
  int (*dir)(const char *name, int fd);
  int (*listen)(const char *addr, const char *service, int fd);
  int (*channel)(const char *peer, int fd); /* first and replacing ones */
  int (*certificates)(int fd);              /* smtpd/tls_names.h */
  int (*ticket_key)(const char *service, const char *key); /* smtpd/tls_tickets.h */
  /* new tables are in force and `settings` are loaded; t lives until the next call
   * returns. The first call comes before start(). */
  int (*table)(const struct table *t);
  int (*logins)(int fd); /* the compiled table users; always after the tables */
  int (*start)(void); /* everything is there: confine, begin to serve */
  void (*stop)(void); /* asked to end: finish up; the loop ends after program_done() */
};

/* runs a program from HELLO to its end; returns the exit code */
int program_main(const struct program *p, int argc, char **argv);

/* ends the loop after stop(); without a stop() it is called at once */
void program_done(void);
/* tells run that a peer's message did not parse, so that it restarts that program */
void program_fault(const char *peer, const char *why);
/* logs and exits: a more trusted peer sent what does not parse, or nothing can go on */
_Noreturn void program_die(const char *what, const char *why);
/* the tables in force */
const struct table *program_table(void);

#endif
